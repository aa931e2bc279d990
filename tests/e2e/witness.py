"""A witness of logs that keeps to C2SP tlog-witness and tlog-cosignature, with code of its own: it takes only what the key of a log has signed, cosigns only
what continues what it has seen, and keeps that."""

import base64
import hashlib
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from serving import Serving

EMPTY = hashlib.sha256(b"").digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def continues(old: tuple[int, bytes], new: tuple[int, bytes], proof: list[bytes]) -> bool:
    """Whether the tree `new` begins with the tree `old` (RFC 9162 §2.1.4.2)."""
    (first, old_root), (second, new_root) = old, new
    if first == second:
        return old_root == new_root and not proof
    if first == 0:
        return not proof
    path = ([old_root] if first & (first - 1) == 0 else []) + proof
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            before, after = node(sibling, before), node(sibling, after)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            after = node(after, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (before, after) == (old_root, new_root)


class Witness(Serving):
    """A witness at an origin."""

    def __init__(self, origin: str, name: str = "witness.example/e2e"):
        self.origin, self.name, self.key = origin, name, Ed25519PrivateKey.generate()
        self.public = self.key.public_key().public_bytes_raw()
        #: The keys of logs by their origins, and what it has cosigned of each.
        self.logs: dict[str, bytes] = {}
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.answers: list[int] = []
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                status, text = witness.add_checkpoint(body) if self.path == "/add-checkpoint" else (404, "")
                witness.answers.append(status)
                self.send_response(status)
                self.send_header("Content-Type", "text/x.tlog.size" if status == 409 else "text/plain")
                self.send_header("Content-Length", str(len(text.encode())))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", urlsplit(origin).port), Handler)

    @property
    def vkey(self) -> str:
        key = base64.b64encode(b"\4" + self.public).decode()
        return f"{self.name}+{key_id(self.name, 4, self.public).hex()}+{key}"

    def trust(self, vkey: str):
        """Its operator adds the verifier key of a log."""
        name, _, key = vkey.strip().split("+", 2)
        self.logs[name] = base64.b64decode(key)[1:]

    def add_checkpoint(self, body: str) -> tuple[int, str]:
        head, text, signatures = body.split("\n\n", 2)
        first, *lines = head.split("\n")
        old, proof = int(first.removeprefix("old ")), [base64.b64decode(line, validate=True) for line in lines]
        text += "\n"
        origin, size, root = text.rstrip("\n").split("\n")
        size, root = int(size), base64.b64decode(root, validate=True)
        if origin not in self.logs:
            return 404, ""
        if not self.has_signed(origin, text, signatures):
            return 403, ""
        if old > size:
            return 400, ""
        seen = self.seen.get(origin, (0, EMPTY))
        if old != seen[0] or (old == size and root != seen[1]):
            return 409, f"{seen[0]}\n"
        if not continues(seen, (size, root), proof):
            return 422, ""
        self.seen[origin] = (size, root)
        at = int(time.time())
        signature = self.key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        line = base64.b64encode(key_id(self.name, 4, self.public) + at.to_bytes(8, "big") + signature).decode()
        return 200, f"— {self.name} {line}\n"

    def has_signed(self, origin: str, text: str, signatures: str) -> bool:
        public = self.logs[origin]
        for line in signatures.splitlines():
            _, name, signature = line.split(" ")
            signature = base64.b64decode(signature, validate=True)
            if (name, signature[:4]) == (origin, key_id(origin, 1, public)):
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], text.encode())
                    return True
                except InvalidSignature:
                    return False
        return False

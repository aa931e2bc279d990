"""Parties outside Writ: their keys, an identity provider, an issuer that does as it is told, clients in JavaScript."""

import base64
import json
import subprocess
import time
import uuid
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hub import ROOT
from joserfc.jwk import generate_key
from serving import Serving

CLIENTS = ROOT / "tests" / "e2e" / "clients"
KEYS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", 2048), "PS256": ("RSA", 2048), "EdDSA": ("OKP", "Ed25519")}
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
# In place of a status: the connection is closed without an answer.
HANGS_UP = 0
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Key:
    """A key pair for one algorithm; `kid` is its thumbprint (RFC 7638)."""

    def __init__(self, alg: str = "ES256"):
        self.alg, self.pair = alg, generate_key(*KEYS[alg], auto_kid=True)
        self.kid = self.pair.kid

    @property
    def private(self) -> dict:
        return self.pair.as_dict(private=True) | {"alg": self.alg}

    @property
    def public(self) -> dict:
        return self.pair.as_dict(private=False) | {"alg": self.alg, "use": "sig"}

    @property
    def jwks(self) -> dict:
        return {"keys": [self.public]}

    @property
    def pem(self) -> str:
        return self.pair.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, claims: dict, **header) -> str:
        """A JWT that is good for a minute; claims that are None are left out."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + 60, "jti": str(uuid.uuid4())} | claims
        sound = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(sound, self.pem, self.alg, {"kid": self.kid, **header})


class Service(Serving):
    """An HTTP server on this machine that `answer`s. A `keeping` server keeps a connection after its answer, and closes the
    connection without an answer when the next request comes, as a server does whose idle time has just passed."""

    def __init__(self, port: int = 0, keeping: bool = False):
        service, self.hang_ups = self, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1" if keeping else "HTTP/1.0"
            answered = False

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, text = service.answer(self.command, self.path, body)
                if self.answered or status == HANGS_UP:
                    service.hang_ups += 1
                    self.close_connection = True
                    return
                self.answered = True
                with suppress(BrokenPipeError):  # whoever was asking may have ended
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    # Said, because workerd keeps what is not closed by a header, and fails if it is closed under its next request.
                    if not keeping:
                        self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(text.encode())

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        raise NotImplementedError


class IdentityProvider(Service):
    """An OpenID provider as its relying parties see it: a discovery document, a key set, and ID tokens."""

    def __init__(self, origin: str):
        super().__init__(urlsplit(origin).port)
        self.issuer, self.key = self.origin, Key("RS256")

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        discovery = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        documents = {"/.well-known/openid-configuration": discovery, "/jwks": self.key.jwks}
        return (200, json.dumps(documents[path])) if path in documents else (404, "{}")

    def token(self, subject: str, audience: str, **claims) -> str:
        return self.key.sign({"iss": self.issuer, "sub": subject, "aud": audience, **claims})


class ScriptedIssuer(Service):
    """An issuer with a status list, which may be bad, and a stream of events."""

    def __init__(self, keeping: bool = False):
        super().__init__(keeping=keeping)
        self.key = Key()
        self.begin()

    def begin(self):
        """Honest again, and with a tenant that nobody has heard of."""
        self.tenant, self.bad, self.states = str(uuid.uuid4()), {}, {}
        self.events, self.acknowledged = {}, []

    def sign(self, typ: str, claims: dict, key: Key | None = None) -> str:
        return (key or self.key).sign({"iss": self.origin, **claims}, typ=typ, kid=self.key.kid)

    def token(self, resource: str, idx: int = 0, key: Key | None = None, typ: str = "at+jwt", **claims) -> str:
        status = {"status_list": {"idx": idx, "uri": f"{self.origin}/status-list"}}
        claims = {
            "aud": resource,
            "sub": "client_1",
            "client_id": "client_1",
            "tenant": self.tenant,
            "status": status,
        } | claims
        return self.sign(typ, claims, key)

    def status_list(self) -> str:
        states = bytearray(16)
        for idx, state in self.states.items():
            states[idx // 4] |= state << 2 * (idx % 4)
        lst = base64.urlsafe_b64encode(zlib.compress(bytes(states))).decode().rstrip("=")
        claims = {"sub": f"{self.origin}/status-list", "ttl": 1, "status_list": {"bits": 2, "lst": lst}}
        return self.sign(
            self.bad.get("typ", "statuslist+jwt"), claims | self.bad.get("claims", {}), self.bad.get("key")
        )

    def some(self, **parts) -> dict:
        """The subject of an event: everything in the tenant, or the part of it that all `parts` match."""
        return {"format": "complex", "tenant": {"format": "opaque", "id": self.tenant}, **parts}

    def event(self, sub_id: dict, key: Key | None = None, **claims) -> str:
        events = {SESSION_REVOKED: {"event_timestamp": int(time.time())}}
        return self.sign("secevent+jwt", {"aud": "receiver", "sub_id": sub_id, "events": events, **claims}, key)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        if path == "/jwks.json":
            return 200, json.dumps(self.key.jwks)
        if path == "/status-list":
            return self.bad.get("status", 200), self.status_list()
        if path == "/token":
            return 200, json.dumps({"access_token": "for-ssf", "expires_in": 300})
        stream = {"delivery": {"endpoint_url": f"{self.origin}/poll"}}
        if path == "/ssf/streams":
            return (201, json.dumps(stream)) if method == "POST" else (200, "[]")
        settled = json.loads(body)
        self.acknowledged += settled.get("ack", [])
        for jti in [*settled.get("ack", []), *settled.get("setErrs", {})]:
            self.events.pop(jti, None)
        deadline = time.monotonic() + 0.2
        while not self.events and time.monotonic() < deadline:
            time.sleep(0.02)
        return 200, json.dumps({"sets": dict(self.events)})


def javascript(program: str, **wanted) -> dict:
    """What a program in clients/ answers: JSON goes in, JSON comes out."""
    node = ROOT / "node_modules" / ".bin" / "node"
    command = [node, CLIENTS / program]
    ran = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, f"{program}:\n{ran.stderr}"
    return json.loads(ran.stdout)

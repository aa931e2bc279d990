"""A stand-in for AWS: a token service that gives sessions to whom the tenant's keys vouch for, and services that check each signature with botocore,
AWS's own library. A body in chunks is decoded as S3 decodes it."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import jwt
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from serving import Serving

ROLE, REGION = "arn:aws:iam::123456789012:role/reports", "eu-central-1"
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@dataclass
class Seen:
    """A request whose signature was right."""

    method: str
    path: str
    headers: dict[str, str]
    session: str
    body: bytes


@dataclass
class Aws(Serving):
    """The services, at one port: `/sts`, and whatever a signature is for everywhere else."""

    origin: str
    issuer: str
    sessions: dict = field(default_factory=dict)
    seen: list = field(default_factory=list)
    objects: dict = field(default_factory=dict)
    #: Set, it makes every signature wrong.
    angry: bool = False

    def __post_init__(self):
        aws = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                body = self.body()
                if self.path.startswith("/sts"):
                    answer = aws.sts({name: values[0] for name, values in parse_qs(body.decode()).items()})
                else:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    answer = aws.call(self.command, self.path, headers, body)
                status, media, content = answer
                self.send_response(status)
                self.send_header("Content-Type", media)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = any

            def body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                pieces = []
                while length := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(length))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", urlsplit(self.origin).port), Handler)

    def sts(self, form: dict) -> tuple[int, str, bytes]:
        """AssumeRoleWithWebIdentity, for a token by the tenant's keys."""
        key = jwt.PyJWKClient(f"{self.issuer}/jwks.json").get_signing_key_from_jwt(form["WebIdentityToken"])
        claims = jwt.decode(form["WebIdentityToken"], key, ["ES256", "RS256"], audience="sts.amazonaws.com", issuer=self.issuer)
        wanted = form["Action"] == "AssumeRoleWithWebIdentity" and form["RoleArn"] == ROLE
        if not wanted or not claims["sub"].startswith("connection:"):
            return 403, "text/xml", b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        keys = [f"ASIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30), secrets.token_urlsafe(300) + "/+=="]
        self.sessions[keys[0]] = (Credentials(*keys), form["RoleSessionName"])
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        members = zip(("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"), [*keys, expiration], strict=True)
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members)
        result = f"<AssumeRoleWithWebIdentityResult><Credentials>{inner}</Credentials></AssumeRoleWithWebIdentityResult>"
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        text = f'<AssumeRoleWithWebIdentityResponse xmlns="{namespace}">{result}</AssumeRoleWithWebIdentityResponse>'
        return 200, "text/xml", text.encode()

    def call(self, method: str, path: str, headers: dict, body: bytes) -> tuple[int, str, bytes]:
        """A call to a service, if botocore signs it in the same way."""
        scheme, _, parts = headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in parts.split(","))
        key, day, region, service, end = parts.get("Credential", "////").split("/")
        if (scheme, region, end) != ("AWS4-HMAC-SHA256", REGION, "aws4_request") or key not in self.sessions:
            return self.refuse("InvalidClientTokenId", "")
        credentials, session = self.sessions[key]
        signed = parts["SignedHeaders"].split(";")
        needed = {name for name in headers if name.startswith("x-amz-")} | {"host", "x-amz-date", "x-amz-content-sha256"}
        at, digest = headers["x-amz-date"], headers["x-amz-content-sha256"]
        age = abs(time.time() - time.mktime(time.strptime(at, "%Y%m%dT%H%M%SZ")) + time.timezone)
        if not needed <= set(signed) or headers.get("x-amz-security-token") != credentials.token or age > 300 or at[:8] != day:
            return self.refuse("AccessDenied", "")
        is_s3 = service == "s3"
        if digest != hashlib.sha256(body).hexdigest() and not (is_s3 and digest in ("UNSIGNED-PAYLOAD", TRAILER)):
            return self.refuse("XAmzContentSHA256Mismatch", digest)
        auth = (S3SigV4Auth if is_s3 else SigV4Auth)(credentials, service, region)
        url = f"http://{headers['host']}{path}"
        request = AWSRequest(method, url, {name: headers[name] for name in signed}, body)
        request.context["timestamp"] = at
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        if signature != parts["Signature"] or self.angry:
            return self.refuse("SignatureDoesNotMatch", f"{canonical} {headers['authorization']}")
        if digest == TRAILER:
            body = dechunked(body)
        self.seen.append(Seen(method, path, headers, session, body))
        return self.s3(method, path, body) if is_s3 else self.dynamodb(headers, body)

    def refuse(self, code: str, said: str) -> tuple[int, str, bytes]:
        text = f"<Error><Code>{code}</Code><Message>no</Message><CanonicalRequest>{escape(said)}</CanonicalRequest></Error>"
        return 403, "application/xml", text.encode()

    def s3(self, method: str, path: str, body: bytes) -> tuple[int, str, bytes]:
        url = urlsplit(path)
        if "list-type=2" in url.query:
            prefix = parse_qs(url.query).get("prefix", [""])[0]
            keys = sorted(key for key in self.objects if key.startswith(f"/reports/{prefix}"))
            inner = "".join(f"<Contents><Key>{escape(key.removeprefix('/reports/'))}</Key></Contents>" for key in keys)
            count = f"<Name>reports</Name><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>"
            return 200, "application/xml", f"<ListBucketResult>{count}{inner}</ListBucketResult>".encode()
        key = unquote(url.path)
        if method == "PUT":
            self.objects[key] = body
            return 200, "application/xml", b""
        if key not in self.objects:
            return 404, "application/xml", b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>"
        return 200, "application/octet-stream", self.objects[key]

    def dynamodb(self, headers: dict, body: bytes) -> tuple[int, str, bytes]:
        said = {"target": headers.get("x-amz-target"), "Item": json.loads(body or b"{}").get("Item", {})}
        return 200, "application/x-amz-json-1.0", json.dumps({"Attributes": said["Item"], "Target": said["target"]}).encode()


def dechunked(body: bytes) -> bytes:
    """The body of `aws-chunked` with a trailer."""
    pieces, rest = [], body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not (length := int(size, 16)):
            assert rest.startswith(b"x-amz-checksum-"), rest
            return b"".join(pieces)
        pieces.append(rest[:length])
        rest = rest[length + 2 :]

"""A strict stand-in for Google, so that the example runs without a Google account.

It plays the token endpoint of a service account (RFC 7523 assertions, RS256) and two methods of BigQuery over one table
held in memory. It checks what Google checks and answers in Google's words. `/control` makes it misbehave and says what
it saw; that part is for tests and must never face anything but the loopback interface.
"""

import argparse
import errno
import json
import os
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

AUTH = "https://www.googleapis.com/auth/"
READERS = {AUTH + s for s in ("bigquery", "bigquery.readonly", "cloud-platform", "cloud-platform.read-only")}
WRITERS = {AUTH + s for s in ("bigquery", "bigquery.insertdata", "cloud-platform")}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TABLE = ("demo-project", "warehouse", "stock")
COLUMNS = ("sku", "warehouse", "quantity")
LIFETIME = 3599
SKEW = 300
HUGE = 30 * 1024 * 1024


def new_service_account(name: str, token_uri: str) -> dict:
    """A throw-away key file of the form that Google's console downloads."""
    project = TABLE[0]
    email = f"{name}@{project}.iam.gserviceaccount.com"
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": email,
        "client_id": str(secrets.randbelow(10**21)),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


class Refused(Exception):
    def __init__(self, status: int, body: dict, headers: dict | None = None):
        self.status, self.body, self.headers = status, body, headers or {}


def oauth_error(error: str, description: str, status: int = 400) -> Refused:
    return Refused(status, {"error": error, "error_description": description})


def api_error(code: int, status: str, reason: str, message: str, challenge: str = "") -> Refused:
    detail = {"message": message, "domain": "global", "reason": reason}
    body = {"error": {"code": code, "message": message, "errors": [detail], "status": status}}
    return Refused(code, body, {"WWW-Authenticate": challenge} if challenge else {})


class Google:
    def __init__(self):
        self.lock = threading.Lock()
        self.accounts: dict[str, dict] = {}
        self.tokens: dict[str, tuple[float, set[str]]] = {}
        self.rows = [["A-101", "Oslo", "42"], ["A-102", "Lyon", "17"], ["A-103", "Porto", "5"]]
        self.reset()

    def reset(self) -> None:
        self.mode, self.delay, self.lifetime = "ok", 0.0, LIFETIME
        self.requests, self.exchanges, self.last_assertion = 0, 0, None

    def add(self, account: dict) -> None:
        key = serialization.load_pem_private_key(account["private_key"].encode(), None)
        # The private half is forgotten: Google does not keep it either.
        self.accounts[account["client_email"]] = {
            "kid": account["private_key_id"],
            "key": key.public_key(),
            "token_uri": account["token_uri"],
        }

    def exchange(self, form: dict[str, list[str]]) -> dict:
        if repeated := [name for name, values in form.items() if len(values) > 1]:
            raise oauth_error("invalid_request", f"Parameter repeated: {repeated[0]}")
        grant_type = form.get("grant_type", [""])[0]
        if grant_type != JWT_BEARER:
            raise oauth_error("unsupported_grant_type", f"Invalid grant_type: {grant_type}")
        if "assertion" not in form:
            raise oauth_error("invalid_request", "Missing required parameter: assertion")
        scopes = self.verify(form["assertion"][0])
        token = "ya29.c." + secrets.token_urlsafe(96)
        with self.lock:
            self.exchanges += 1
            self.tokens[token] = (time.time() + self.lifetime, scopes)
        return {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}

    def verify(self, assertion: str) -> set[str]:
        try:
            header = jwt.get_unverified_header(assertion)
            claims = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            raise oauth_error("invalid_grant", "Invalid JWT: Failed to parse assertion.") from None
        account = self.accounts.get(claims.get("iss"))
        if account is None:
            raise oauth_error("invalid_grant", "Invalid grant: account not found")
        if header.get("alg") != "RS256" or header.get("kid") != account["kid"]:
            raise oauth_error("invalid_grant", "Invalid JWT Signature.")
        try:
            jwt.decode(
                assertion,
                account["key"],
                algorithms=["RS256"],
                options={name: False for name in ("verify_aud", "verify_exp", "verify_iat", "verify_nbf")},
            )
        except jwt.InvalidSignatureError:
            raise oauth_error("invalid_grant", "Invalid JWT Signature.") from None
        if claims.get("aud") != account["token_uri"]:
            raise oauth_error("invalid_grant", "Invalid JWT: Failed audience check.")
        self.check_times(claims)
        scopes = set(str(claims.get("scope", "")).split())
        if not scopes:
            raise oauth_error("invalid_scope", "Empty or missing scope not allowed.")
        if not all(scope.startswith(AUTH) for scope in scopes):
            raise oauth_error("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        self.last_assertion = {"header": header, "claims": claims}
        return scopes

    @staticmethod
    def check_times(claims: dict) -> None:
        iat, exp, now = claims.get("iat"), claims.get("exp"), time.time()
        if not all(type(value) is int for value in (iat, exp)) or not (
            iat - SKEW <= now <= exp + SKEW and 0 < exp - iat <= 3600
        ):
            raise oauth_error(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                "Check your iat and exp values in the JWT claim.",
            )

    def authorize(self, authorization: str, allowed: set[str]) -> None:
        expires, scopes = self.tokens.get(authorization.removeprefix("Bearer "), (0, set()))
        realm = 'Bearer realm="https://accounts.google.com/"'
        if not authorization.startswith("Bearer ") or expires < time.time():
            raise api_error(
                401,
                "UNAUTHENTICATED",
                "authError",
                "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
                "other valid authentication credential.",
                f'{realm}, error="invalid_token"',
            )
        if not scopes & allowed:
            raise api_error(
                403,
                "PERMISSION_DENIED",
                "insufficientPermissions",
                "Request had insufficient authentication scopes.",
                f'{realm}, error="insufficient_scope", scope="{" ".join(sorted(allowed))}"',
            )

    def list_rows(self, query: dict[str, list[str]]) -> dict:
        limit = int(query.get("maxResults", ["100"])[0])
        rows = [{"f": [{"v": value} for value in row]} for row in self.rows[:limit]]
        return {"kind": "bigquery#tableDataList", "totalRows": str(len(self.rows)), "rows": rows}

    def insert(self, body: dict) -> dict:
        answer = {"kind": "bigquery#tableDataInsertAllResponse"}
        rows = [row["json"] for row in body["rows"]]
        if errors := [
            {"index": i, "errors": [{"reason": "invalid", "location": name, "message": f"no such field: {name}."}]}
            for i, row in enumerate(rows)
            for name in row
            if name not in COLUMNS
        ]:
            return answer | {"insertErrors": errors}
        with self.lock:
            self.rows += [[None if row.get(c) is None else str(row[c]) for c in COLUMNS] for row in rows]
        return answer


class Handler(BaseHTTPRequestHandler):
    google: Google
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.respond(b"")

    def do_POST(self):
        self.respond(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def respond(self, body: bytes) -> None:
        url = urlsplit(self.path)
        try:
            if url.path == "/control":
                return self.send(200, self.control(body))
            if url.path == "/token" and self.command == "POST":
                return self.token(body)
            self.send(200, self.bigquery(url, body))
        except Refused as refused:
            self.send(refused.status, refused.body, refused.headers)
        except (ValueError, KeyError, TypeError):
            self.send(400, api_error(400, "INVALID_ARGUMENT", "invalid", "Invalid request.").body)

    def token(self, body: bytes) -> None:
        google = self.google
        with google.lock:
            google.requests += 1
        time.sleep(google.delay)
        if google.mode == "redirect":
            return self.send(307, {}, {"Location": f"http://{self.headers['Host']}/token?moved"})
        if google.mode == "html":
            return self.raw(200, b"<html><body>Sorry, standin-marker</body></html>", "text/html")
        if google.mode == "huge":
            return self.huge()
        if google.mode == "nonsense":
            return self.raw(200, b'{"standin-marker": [', "application/json")
        if google.mode == "error":
            return self.send(500, {"error": "internal_failure", "error_description": "standin-marker"})
        if self.headers.get_content_type() != "application/x-www-form-urlencoded":
            raise oauth_error("invalid_request", "Bad Request")
        self.send(200, google.exchange(parse_qs(body.decode())))

    def bigquery(self, url, body: bytes) -> dict:
        match [unquote(part) for part in url.path.split("/")]:
            case ["", "bigquery", "v2", "projects", project, "datasets", dataset, "tables", table, action]:
                known = (self.command, action) in (("GET", "data"), ("POST", "insertAll"))
            case _:
                known = False
        if not known:
            raise api_error(404, "NOT_FOUND", "notFound", "Not Found")
        self.google.authorize(self.headers.get("Authorization", ""), READERS if action == "data" else WRITERS)
        if (project, dataset, table) != TABLE:
            raise api_error(404, "NOT_FOUND", "notFound", f"Not found: Table {project}:{dataset}.{table}")
        if action == "data":
            return self.google.list_rows(parse_qs(url.query))
        return self.google.insert(json.loads(body))

    def control(self, body: bytes) -> dict:
        """GET: what was seen. POST {"mode", "delay", "lifetime", "account"}: reset, then behave so."""
        google = self.google
        if self.command == "POST":
            wanted = json.loads(body)
            google.reset()
            google.mode = wanted.get("mode", google.mode)
            google.delay = wanted.get("delay", google.delay)
            google.lifetime = wanted.get("lifetime", google.lifetime)
            if "account" in wanted:
                google.add(wanted["account"])
        return {
            "requests": google.requests,
            "exchanges": google.exchanges,
            "last_assertion": google.last_assertion,
            "access_tokens": list(google.tokens),
            "rows": google.rows,
        }

    def huge(self) -> None:
        # Without a Content-Length, so that only counting what arrives can stop it.
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        chunk = b"standin-marker " * 4096
        for _ in range(HUGE // len(chunk)):
            self.wfile.write(chunk)

    def send(self, status: int, body: dict, headers: dict | None = None) -> None:
        self.raw(status, json.dumps(body).encode(), "application/json; charset=UTF-8", headers)

    def raw(self, status: int, body: bytes, media_type: str, headers: dict | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": len(body), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A caller that hangs up, as it should on a body of 30 MB, is no error of this server.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def key_files(directory: Path, token_uri: str) -> list[Path]:
    """reader.json and writer.json for this token endpoint, made if they are missing or belong to another."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "reader.json", directory / "writer.json"]
    for path in paths:
        if not path.exists() or json.loads(path.read_text())["token_uri"] != token_uri:
            path.write_text(json.dumps(new_service_account(f"bigquery-{path.stem}", token_uri), indent=2) + "\n")
            path.chmod(0o600)
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=int(os.environ.get("STANDIN_PORT", 9010)))
    parser.add_argument("--keys", type=Path, default=Path("keys"), help="where the key files go (default: %(default)s)")
    args = parser.parse_args()
    origin = f"http://127.0.0.1:{args.port}"
    google = Google()
    try:
        server = Server(("127.0.0.1", args.port), type("Bound", (Handler,), {"google": google}))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {args.port} is taken: does the stand-in run already?")
    for path in key_files(args.keys, f"{origin}/token"):
        google.add(json.loads(path.read_text()))
        print(f"key file {path}", flush=True)
    print(f"stand-in for Google at {origin}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()

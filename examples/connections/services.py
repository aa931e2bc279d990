"""Two services on this machine, as strict as the real ones: a chat like Slack, with OAuth, rotating refresh tokens and detection of reuse, and a
code host like GitHub, with an API key. They belong to nobody: whoever presses the button is `ada`.

The chat remembers whom it has given tokens in `services.json`, in the folder where scripts/dev keeps its state: Writ remembers them, too."""

import base64
import errno
import hashlib
import html
import json
import os
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

STATE = Path(os.environ.get("WRIT_STATE") or Path(__file__).resolve().parents[2] / ".writ")

PORT = int(os.environ.get("SERVICES_PORT", 9020))
ORIGIN = f"http://127.0.0.1:{PORT}"
CHAT_CLIENT, CHAT_SECRET = "writ", "chat-client-secret"
CODE_KEY = "ghp_of_the_stand_in"
#: How long an access token of the chat lives, in seconds.
LIFETIME = 600
ISSUES = [{"number": 7, "title": "The door squeaks"}, {"number": 9, "title": "No tea left"}]


class Chat:
    """The grants, codes and tokens of the chat. Grants and tokens outlive the process where there is a file to keep them in."""

    def __init__(self):
        self.lock = threading.Lock()
        self.codes, self.access, self.refresh, self.messages = {}, {}, {}, []
        self.refreshes = self.reused = 0
        self.file = None

    def remember(self, file: Path) -> None:
        """What an earlier run has kept."""
        self.file = file
        if file.exists():
            grants, access, refresh = json.loads(file.read_text())
            self.access = {token: (grants[n], until) for token, (n, until) in access.items()}
            self.refresh = {token: (grants[n], used) for token, (n, used) in refresh.items()}

    def keep(self) -> None:
        """For the owner of the file alone, whole or not at all."""
        if not self.file:
            return
        grants = list({id(grant): grant for grant, _ in self.refresh.values()}.values())
        number = {id(grant): n for n, grant in enumerate(grants)}
        access = {token: (number[id(grant)], until) for token, (grant, until) in self.access.items() if until > time.time()}
        refresh = {token: (number[id(grant)], used) for token, (grant, used) in self.refresh.items()}
        new = self.file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump([grants, access, refresh], file)
        new.replace(self.file)

    def grant(self, scope: str) -> dict:
        return {"user": "ada", "scope": scope, "ended": False}

    def tokens(self, grant: dict) -> dict:
        access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
        self.access[access], self.refresh[refresh] = (grant, time.time() + LIFETIME), (grant, False)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "scope": grant["scope"],
        }

    def token(self, form: dict) -> tuple[int, dict]:
        """RFC 6749 section 4.1.3 and 6. A refresh token that comes twice ends its grant."""
        refused = 400, {"error": "invalid_grant"}
        if form.get("grant_type") == "authorization_code":
            grant, challenge, redirect_uri = self.codes.pop(form.get("code"), (None, None, None))
            verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            proved = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == challenge
            return (200, self.tokens(grant)) if grant and proved and form.get("redirect_uri") == redirect_uri else refused
        grant, used = self.refresh.get(form.get("refresh_token"), (None, None))
        self.refreshes += 1
        if grant and used:
            self.reused += 1
            grant["ended"] = True
        if not grant or grant["ended"]:
            return refused
        self.refresh[form["refresh_token"]] = (grant, True)
        return 200, self.tokens(grant)

    def user(self, token: str) -> dict | None:
        grant, until = self.access.get(token, (None, 0))
        return grant if grant and not grant["ended"] and until > time.time() else None


chat = Chat()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path:
            case "/chat/authorize":
                wanted = query.get("client_id") == CHAT_CLIENT and query.get("code_challenge_method") == "S256"
                if not wanted or query.get("response_type") != "code":
                    return self.answer(400, {"error": "invalid_request"})
                fields = "".join(
                    f'<input type="hidden" name="{name}" value="{html.escape(query.get(name, ""))}">'
                    for name in ("redirect_uri", "state", "scope", "code_challenge")
                )
                page = f"<title>Chat</title><h1>Chat</h1><form method=post>{fields}<button>Allow {html.escape(query['scope'])}</button></form>"
                return self.answer(200, page)
            case "/chat/api/auth.test":
                user = chat.user(self.bearer())
                return self.answer(200, {"ok": True, "user": user["user"], "user_id": "U1"}) if user else self.refuse()
            case "/code/repos/acme/shop/issues":
                return self.answer(200, ISSUES) if self.bearer() == CODE_KEY else self.refuse()
            case "/chat/state":
                return self.answer(200, {"messages": chat.messages, "refreshes": chat.refreshes, "reused": chat.reused})
        self.answer(404, {"error": "not_found"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        match self.path.partition("?")[0]:
            case "/chat/authorize":
                with chat.lock:
                    code = secrets.token_urlsafe()
                    chat.codes[code] = (chat.grant(form["scope"]), form["code_challenge"], form["redirect_uri"])
                self.send_response(303)
                self.send_header("Location", f"{form['redirect_uri']}?{urlencode({'code': code, 'state': form['state']})}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            case "/chat/token":
                if (form.get("client_id"), form.get("client_secret")) != (CHAT_CLIENT, CHAT_SECRET):
                    return self.answer(401, {"error": "invalid_client"})
                with chat.lock:
                    answer = chat.token(form)
                    chat.keep()
                return self.answer(*answer)
            case "/chat/revoke":
                with chat.lock:
                    for grant in [chat.refresh.get(form.get("token")), chat.access.get(form.get("token"))]:
                        if grant:
                            grant[0]["ended"] = True
                    chat.keep()
                return self.answer(200, {})
            case "/chat/api/chat.postMessage":
                if not (user := chat.user(self.bearer())) or "chat:write" not in user["scope"].split():
                    return self.refuse()
                chat.messages.append({"user": user["user"], **json.loads(body)})
                return self.answer(200, {"ok": True, "message": chat.messages[-1]})
        self.answer(404, {"error": "not_found"})

    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")

    def refuse(self):
        self.answer(401, {"ok": False, "error": "invalid_auth"})

    def answer(self, status: int, body):
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8" if isinstance(body, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def serve(state: Path | None = None, port: int = PORT) -> ThreadingHTTPServer:
    """Serves both in a thread. The chat's tokens are kept in `state`, if there is one."""
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"Port {port} is taken: the services run already. End the program that has started them (agent.py, try.py or services.py) first.")
    if state and state.exists():
        chat.remember(state / "services.json")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    serve(STATE)
    print(f"a chat at {ORIGIN}/chat, a code host at {ORIGIN}/code", flush=True)
    threading.Event().wait()

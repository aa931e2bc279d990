"""How the tests speak to Writ, to the stand-in for Google and to the programs of the example."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "bigquery-mcp"
READ, WRITE = "mcp:bigquery.read", "mcp:bigquery.write"
TABLE = "demo-project.warehouse.stock"
AT_HOME, ELSEWHERE = "10.1.2.3", "203.0.113.9"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# How long a change may take to be seen everywhere, in seconds: the default of `FRESHNESS_SECONDS`.
FRESHNESS = 5


def eventually(check, within: float = 20, every: float = 0.1):
    """The first true answer of `check`; fails with its last answer when there is none in time."""
    deadline = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within} s; the last answer was {answer!r}"
        time.sleep(every)
    return answer


def within_the_bound(check, every: float = 0.1):
    """The first true answer of `check`. An attempt that begins after the freshness bound has to give one."""
    begun = time.monotonic()
    while True:
        waited = time.monotonic() - begun
        if answer := check():
            return answer
        assert waited <= FRESHNESS, f"not within {FRESHNESS} s; the last answer was {answer!r}"
        time.sleep(every)


def denied(answer):
    """The answer, if it refuses the caller. A fault of the server is no refusal and fails."""
    assert answer.status_code < 500, f"{answer.status_code} {answer.text}"
    return answer if answer.is_client_error else None


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@dataclass
class Process:
    """A program in a process group of its own, its output in a file."""

    command: list
    log: Path
    cwd: Path = ROOT
    env: dict = field(default_factory=dict)

    def __enter__(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(part) for part in self.command],
                cwd=self.cwd,
                env=os.environ | self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_):
        for kill in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, kill)
                self.process.wait(15)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def ready(self, check, within: float):
        """Waits for `check`, and fails at once with the program's output when the program ends."""

        def alive_and_ready():
            assert self.process.poll() is None, f"{self.command} ended:\n{self.log.read_text()}"
            try:
                return check()
            except (httpx.TransportError, OSError, ValueError):
                return None

        return eventually(alive_and_ready, within)


@dataclass
class Client:
    """An OAuth client that the tests registered."""

    client_id: str
    client_secret: str
    auth_method: str = "client_secret_basic"

    def authenticate(self, form: dict) -> dict:
        if self.auth_method == "client_secret_post":
            return {"data": form | {"client_id": self.client_id, "client_secret": self.client_secret}}
        pair = (quote(self.client_id, safe=""), quote(self.client_secret, safe=""))
        return {"data": form, "auth": pair}


class Writ:
    """Writ's wire. Keeps every answer, so that test_secrets.py can search them."""

    def __init__(self, dev: dict, state: Path, log: Path | None):
        self.issuer, self.dev, self.state, self.log = dev["issuer"], dev, state, log
        self.answers: list[tuple[str, bytes]] = []
        # workerd closes a connection that was idle for five seconds; let go of it before that, not at the same moment.
        limits = httpx.Limits(keepalive_expiry=2)
        self.http = httpx.Client(timeout=90, limits=limits, event_hooks={"response": [self.record]})
        self.administrator = Client(dev["admin"]["client_id"], dev["admin"]["client_secret"])
        self.admin_token, self.admin_token_expires = "", 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def record(self, response):
        head = repr(sorted(response.headers.items())).encode()
        self.answers.append((f"{response.request.method} {response.request.url}", head + response.read()))

    def token(self, client: Client, resource: str, scope: str | None = None, address: str = AT_HOME):
        form = {"grant_type": "client_credentials", "resource": resource}
        if scope:
            form["scope"] = scope
        headers = {"CF-Connecting-IP": address}
        return self.http.post(f"{self.issuer}/token", headers=headers, **client.authenticate(form))

    def lease(self, server: Client, connection: str, subject_token: str, **form):
        form = {"subject_token": subject_token, **form}
        url = f"{self.issuer}/connections/{connection}/token"
        return self.http.post(url, headers={"CF-Connecting-IP": AT_HOME}, **server.authenticate(form))

    def admin(self, method: str, path: str, expect: int | None = None, **request):
        if time.monotonic() > self.admin_token_expires:
            answer = self.token(self.administrator, f"{self.issuer}/admin", "admin").raise_for_status().json()
            self.admin_token = answer["access_token"]
            self.admin_token_expires = time.monotonic() + answer["expires_in"] / 2
        headers = {"Authorization": f"Bearer {self.admin_token}", **request.pop("headers", {})}
        answer = self.http.request(method, f"{self.issuer}/admin/{path}", headers=headers, **request)
        if expect is not None:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def cron(self):
        """Has scripts/dev run the cron now, beside that of each minute."""
        os.kill(json.loads((self.state / "workerd.json").read_text())["parent"], signal.SIGUSR2)

    def put(self, path: str, body: dict):
        """Creates or replaces."""
        current = self.admin("GET", path)
        headers = {"If-Match": current.headers["etag"]} if current.is_success else {}
        answer = self.admin("PUT", path, json=body, headers=headers)
        assert answer.is_success, f"PUT {path}: {answer.status_code} {answer.text}"
        return answer

    def register(self, name: str, kind: str = "autonomous", **metadata) -> Client:
        method = metadata.get("token_endpoint_auth_method", "client_secret_basic")
        body = {
            "client_name": name,
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": method,
            "kind": kind,
            **metadata,
        }
        answer = self.admin("POST", "clients", 201, json=body).json()
        return Client(answer["client_id"], answer.get("client_secret", ""), method)

    def policy(self, name: str, cedar: str) -> str:
        self.put(f"policies/{name}", {"description": name, "cedar": cedar, "mode": "enforce"})
        return name

    def connect(self, name: str, account: dict, scopes: list[str]) -> None:
        body = {"kind": "google_service_account", "config": {"scopes": scopes}, "secret": account}
        self.put(f"connections/{name}", body)

    def events(self, **query) -> list[dict]:
        """All events that match, newest first."""
        found, cursor = [], None
        while True:
            page = self.admin("GET", "events", 200, params=query | ({"cursor": cursor} if cursor else {})).json()
            found += page["items"]
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    def event(self, within: float = 20, **wanted) -> dict:
        """The newest event of a client that has all these members; events arrive a moment after the answer."""
        query = {"client_id": wanted["client"]}

        def find():
            return next((e for e in self.events(**query) if all(e.get(k) == v for k, v in wanted.items())), None)

        return eventually(find, within)


class Google:
    """The running stand-in."""

    def __init__(self, origin: str):
        self.origin = origin

    def behave(self, **wanted) -> None:
        httpx.post(f"{self.origin}/control", json=wanted).raise_for_status()

    def seen(self) -> dict:
        return httpx.get(f"{self.origin}/control").raise_for_status().json()

"""Code that an agent has written, in a dynamic Worker of workerd whose outbound Worker is Writ: it reaches what its agent may call, by plain `fetch`."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from hub import ROOT, eventually

EXAMPLE = ROOT / "examples" / "sandbox"
KEY = "a-key-of-the-service-0123456789"


def test_the_example_prints_what_its_readme_says(writ, sandbox, outbound):
    environment = {"SANDBOX": sandbox, "SERVICES_PORT": outbound[4].rsplit(":", 1)[1]}
    command = [sys.executable, EXAMPLE / "try.py", "--dev", writ.state / "dev.json"]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() in (EXAMPLE / "README.md").read_text(), done.stdout + done.stderr
    assert json.loads(done.stdout) == {"issues": ["The door squeaks", "No tea left"], "elsewhere": 403}


class Service:
    """A service that says what it has got, and redirects."""

    def __init__(self, port: int):
        service, self.seen, self.broken = self, [], threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                length = int(self.headers.get("Content-Length", 0))
                said = {"path": self.path, "headers": dict(self.headers.items()), "body": self.rfile.read(length).decode()}
                service.seen.append(said)
                path = urlsplit(self.path).path
                if path.endswith("/events"):
                    self.send_response(200)
                    self.end_headers()
                    try:
                        for n in range(600):
                            self.wfile.write(f"{n}\n".encode())
                            time.sleep(0.1)
                    except OSError:
                        service.broken.set()
                    self.close_connection = True
                    return
                self.send_response(302 if path.endswith("/moved") else 200)
                if path.endswith("/moved"):
                    self.send_header("Location", "here?moved=1")
                body = json.dumps(said).encode()
                self.send_header("Content-Length", str(len(body)))
                # Nothing is kept open: other tests have other services at this address.
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def service(outbound):
    service = Service(urlsplit(outbound[1]).port)
    yield service
    service.server.shutdown()
    service.server.server_close()


class Coder:
    """An agent whose code the sandbox runs."""

    def __init__(self, writ, sandbox, origin):
        self.writ, self.sandbox, self.name = writ, sandbox, f"e2e-{os.urandom(4).hex()}"
        self.url = f"{origin}/{self.name}"
        config = {
            "service": {"name": "E2E", "proxy": {"base_url": self.url, "header": "X-Api-Key", "format": "{token}"}},
            "allow": [{"methods": ["GET", "POST"], "path": "/**"}],
        }
        body = {"kind": "custom_header", "config": config, "secret": {"value": KEY}}
        writ.put(f"connections/{self.name}", body)
        self.client = writ.register(f"e2e coder {self.name}", allowed_resources=[f"{writ.issuer}/connections"])
        who = f'principal == Client::"{self.client.client_id}"'
        writ.policy(f"{self.name}-issue", f'permit({who}, action == Action::"issue", resource);')
        writ.policy(f"{self.name}-lease", f'permit({who}, action == Action::"lease", resource == Connection::"{self.name}");')
        eventually(lambda: self.run(f'return Response.json((await fetch("{self.url}/x")).status);').json() == 200)

    def run(self, body: str, **more) -> httpx.Response:
        """What code with this body answers."""
        code = "export default { async fetch() {" + body + "} };"
        return httpx.post(self.sandbox, auth=(self.client.client_id, self.client.client_secret), content=code, timeout=60, **more)


@pytest.fixture
def coder(writ, sandbox, outbound, service):
    return Coder(writ, sandbox, outbound[1])


@pytest.mark.split
def test_plain_fetch_has_the_credential_and_the_code_never_sees_it(writ, coder, service):
    answer = coder.run(f"""
        const sent = await fetch("{coder.url}/messages?q=1", {{
          method: "POST", body: "hello", headers: {{ authorization: "Bearer placeholder", "x-api-key": "placeholder", "x-custom": "kept" }},
        }});
        return new Response(sent.body, {{ status: sent.status }});
    """)
    assert answer.status_code == 200, answer.text
    got = service.seen[-1]
    headers = {name.lower(): value for name, value in got["headers"].items()}
    assert (headers["x-api-key"], headers["x-custom"], got["body"]) == (KEY, "kept", "hello")
    assert got["path"] == f"/{coder.name}/messages?q=1"
    assert KEY not in answer.text and "*" * len(KEY) in answer.text
    assert "authorization" not in headers and not any(name.startswith("writ-") for name in headers)
    called = writ.event(client=coder.client.client_id, type="proxy.called", path="/messages")
    assert (called["status"], called["connection"], "ip" in called) == (200, coder.name, False)


def test_code_reaches_nothing_else(writ, coder, service, outbound):
    before = len(service.seen)
    answer = coder.run(f"""
        const seen = {{}};
        for (const url of ["{outbound[1]}/other", "{writ.issuer}/jwks.json", "https://example.com/", "{outbound[0]}/control"]) {{
          seen[url] = (await fetch(url)).status;
        }}
        const {{ connect }} = await import("cloudflare:sockets");
        try {{
          const socket = connect("{urlsplit(outbound[1]).netloc}");
          const writer = socket.writable.getWriter();
          await writer.write(new TextEncoder().encode("GET /raw HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"));
          await socket.opened;
          seen.socket = (await socket.readable.getReader().read()).value?.length ?? 0;
        }} catch (error) {{
          seen.socket = "refused";
        }}
        return Response.json(seen);
    """).json()
    assert answer.pop("socket") == "refused"
    assert set(answer.values()) == {403}, answer
    assert len(service.seen) == before
    refused = writ.event(client=coder.client.client_id, type="proxy.refused", host="example.com")
    assert refused["decision"]


def test_a_redirect_is_followed_by_the_code_through_its_connection(coder):
    moved = coder.run(f'return Response.json(await (await fetch("{coder.url}/a/moved")).json());').json()
    assert moved["path"] == f"/{coder.name}/a/here?moved=1"
    manual = coder.run(f"""
        const answer = await fetch("{coder.url}/a/moved", {{ redirect: "manual" }});
        return Response.json([answer.status, answer.headers.get("location")]);
    """).json()
    assert manual == [302, f"{coder.url}/a/here?moved=1"]


def test_a_stop_cuts_what_streams_and_refuses_what_comes(writ, coder, service):
    service.broken.clear()
    lines = []
    code = f'export default {{ async fetch() {{ return fetch("{coder.url}/events"); }} }};'
    auth = (coder.client.client_id, coder.client.client_secret)
    with httpx.stream("POST", coder.sandbox, auth=auth, content=code, timeout=60) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            lines.append(line)
            if len(lines) == 5:
                stopped = time.monotonic()
                writ.admin("POST", f"clients/{coder.client.client_id}/suspend", 200)
    assert time.monotonic() - stopped < 5 + 2.5 and len(lines) < 100
    assert service.broken.wait(10), "the service hears of it"
    # The token that the sandbox still has is worth nothing.
    assert coder.run(f'return Response.json((await fetch("{coder.url}/x")).status);').json() == 401


def test_who_is_no_agent_runs_nothing(sandbox, coder):
    answer = httpx.post(sandbox, auth=(coder.client.client_id, "wrong"), content="export default {}")
    assert answer.status_code == 401
    assert httpx.post(sandbox, content="export default {}").status_code == 401

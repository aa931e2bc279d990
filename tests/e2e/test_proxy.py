"""Calls through the injecting proxy in workerd: streams in both directions, and what never crosses them."""

import gzip
import hashlib
import json
import os
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from connect import CONNECTIONS
from hub import Client, eventually
from serving import Serving

BIG = 10_000_000


class Api(Serving):
    """A service that says back what it is sent."""

    def __init__(self, port: int):
        api, self.tokens, self.broken = self, [], threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def begin(self, status=200, length=None, **headers):
                self.send_response(status)
                self.send_header("Connection", "close")
                if length is not None:
                    self.send_header("Content-Length", str(length))
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()

            def do_GET(self):
                token = self.headers["Authorization"]
                api.tokens.append(token)
                path = urlsplit(self.path).path
                if path == "/api/echo":
                    said = {"headers": dict(self.headers.items()), "path": self.path}
                    body = json.dumps(said).encode()
                    self.begin(length=len(body), Content_Type="application/json", Set_Cookie="a=b", X_Echo=token)
                    # In pieces that cut the token in two.
                    for at in range(0, len(body), 11):
                        self.wfile.write(body[at : at + 11])
                        self.wfile.flush()
                elif path == "/api/events":
                    self.begin(Content_Type="text/event-stream")
                    with suppress(OSError):
                        for n in range(600):
                            self.wfile.write(f"data: {n} {token}\n\n".encode())
                            time.sleep(0.1)
                    api.broken.set()
                elif path == "/api/flood":
                    self.begin(Content_Type="application/octet-stream")
                    with suppress(OSError):
                        for _ in range(1_500):
                            self.wfile.write(b"x" * 65_536)
                    api.broken.set()
                elif path == "/api/big":
                    self.begin(length=BIG)
                    for _ in range(BIG // 10_000):
                        self.wfile.write(b"x" * 10_000)
                elif path == "/api/gzip":
                    body = gzip.compress(json.dumps({"token": token}).encode())
                    self.begin(length=len(body), Content_Type="application/json", Content_Encoding="gzip")
                    self.wfile.write(body)
                elif path == "/api/moved":
                    self.begin(302, 0, Location="/api/echo?moved=1")
                elif path == "/api/away":
                    self.begin(302, 0, Location="https://evil.example/")
                else:
                    self.begin(404, 0)

            do_HEAD = do_GET

            def do_PUT(self):
                digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
                while left:
                    piece = self.rfile.read(min(left, 65536))
                    digest.update(piece)
                    left -= len(piece)
                body = json.dumps({"sha256": digest.hexdigest()}).encode()
                self.begin(length=len(body), Content_Type="application/json")
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)


@pytest.fixture(scope="module")
def api(outbound):
    with Api(urlsplit(outbound[1]).port) as api:
        yield api


class Caller:
    """An agent that calls through a connection."""

    def __init__(self, writ, client: Client, name: str):
        self.client, self.url = client, f"{writ.issuer}/connections/{name}/proxy"
        answer = writ.token(client, f"{writ.issuer}/connections", "connections:use").raise_for_status()
        self.token = answer.json()["access_token"]
        self.http = httpx.Client(timeout=60, headers={"Authorization": f"Bearer {self.token}"})


@pytest.fixture
def caller(writ, accounts, outbound, api):
    name = f"e2e-{os.urandom(4).hex()}"
    config = {
        "scopes": CONNECTIONS["bigquery-read"],
        "base_url": f"{outbound[1]}/api",
        "allow": [{"methods": ["GET", "PUT"], "path": "/**"}],
    }
    kind = "google_service_account"
    writ.put(f"connections/{name}", {"kind": kind, "config": config, "secret": accounts["bigquery-read"]})
    client = writ.register(f"e2e caller {name}", allowed_resources=[f"{writ.issuer}/connections"])
    permit = f'permit(principal == Client::"{client.client_id}", action == Action::"lease", resource == Connection::"{name}");'
    writ.policy(f"{name}-lease", permit)
    caller = Caller(writ, client, name)
    with caller.http:
        eventually(lambda: caller.http.get(f"{caller.url}/echo").is_success)
        yield caller


@pytest.mark.split
def test_the_service_gets_the_credential_and_the_caller_never_sees_it(writ, caller, api):
    answer = caller.http.get(f"{caller.url}/echo?q=1", headers={"Cookie": "c=d", "X-Custom": "kept"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert api.tokens[-1].startswith("Bearer ya29.")
    assert api.tokens[-1].removeprefix("Bearer ") not in answer.text + str(answer.headers)
    assert said["headers"]["Authorization"].startswith("Bearer ****")
    assert said["path"] == "/api/echo?q=1"
    headers = {name.lower(): value for name, value in said["headers"].items()}
    assert headers["x-custom"] == "kept" and "cookie" not in headers
    assert caller.token not in str(said)
    assert answer.headers["x-echo"].startswith("Bearer ****") and "set-cookie" not in answer.headers
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/echo")
    assert (called["status"], called["method"], called["host"]) == (200, "GET", "127.0.0.1")
    assert called["bytes_received"] == len(answer.content)


@pytest.mark.split
def test_an_event_stream_is_live_and_a_stop_cuts_it(writ, caller, api):
    api.broken.clear()
    seen, began = [], time.monotonic()
    with caller.http.stream("GET", f"{caller.url}/events") as answer:
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/event-stream"
        # workerd ends what is cut as if it were whole: the event tells.
        for line in answer.iter_lines():
            if line:
                seen.append((time.monotonic() - began, line))
            if len(seen) == 10:
                assert seen[0][0] < 0.9, "the first event came before the last of them was sent"
                stopped = time.monotonic()
                writ.admin("POST", f"clients/{caller.client.client_id}/suspend", 200)
    took = time.monotonic() - stopped
    assert took < 5 + 2.5, f"cut after {took:.1f} s"
    assert 10 <= len(seen) < 100 and all("ya29." not in line for _, line in seen)
    assert api.broken.wait(10), "the service hears of it"
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/events")
    assert called["reason"] == "InvalidToken" and called["status"] == 200


def test_large_bodies_pass_in_both_directions(writ, caller):
    answer = caller.http.get(f"{caller.url}/big", headers={"Accept-Encoding": "identity"})
    assert (answer.status_code, len(answer.content)) == (200, BIG)
    assert int(answer.headers["content-length"]) == BIG
    body = os.urandom(BIG)
    answer = caller.http.put(f"{caller.url}/upload", content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/upload")
    assert called["bytes_sent"] == BIG


def test_an_answer_that_is_compressed_all_the_same_hides_no_secret(caller):
    answer = caller.http.get(f"{caller.url}/gzip")
    assert "ya29." not in answer.text
    assert answer.status_code == 502 or answer.json()["token"].startswith("Bearer ****")


def test_redirects_stay_with_the_connection(caller):
    moved = caller.http.get(f"{caller.url}/moved")
    assert (moved.status_code, moved.headers["location"]) == (302, f"{urlsplit(caller.url).path}/echo?moved=1")
    away = caller.http.get(f"{caller.url}/away")
    assert away.status_code == 502 and "location" not in away.headers
    head = caller.http.head(f"{caller.url}/big")
    assert head.status_code == 200 and head.content == b""


def test_a_caller_that_goes_leaves_an_event_and_the_service_hears_of_it(writ, caller, api):
    api.broken.clear()
    with caller.http.stream("GET", f"{caller.url}/events") as answer:
        next(answer.iter_lines())
    assert api.broken.wait(20)
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/events")
    assert called["reason"] == "CallerGone"


def test_a_caller_that_does_not_read_is_cut_all_the_same(writ, caller, api):
    api.broken.clear()
    with caller.http.stream("GET", f"{caller.url}/flood") as answer:
        assert answer.status_code == 200
        writ.admin("POST", f"clients/{caller.client.client_id}/suspend", 200)
        assert api.broken.wait(15), "the service hears of it, although nobody reads"
        called = writ.event(client=caller.client.client_id, type="proxy.called", path="/flood")
    assert called["reason"] == "InvalidToken"

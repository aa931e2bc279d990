"""WebSockets through the injecting proxy in workerd, with the library of Python at both ends."""

import os
import threading
import time
from urllib.parse import urlsplit

import pytest
from connect import CONNECTIONS
from hub import within_the_bound
from test_proxy import Caller
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve


@pytest.fixture(scope="module")
def service(outbound):
    """Says back what it is sent, with the credential that opened the connection; what it got, and with which headers."""
    got = {"messages": [], "headers": [], "closed": threading.Event()}

    def talk(socket):
        headers = socket.request.headers
        got["headers"].append(headers)
        try:
            for message in socket:
                got["messages"].append(message)
                if message == "flood":
                    for _ in range(140_000):
                        socket.send("")
                token = headers["Authorization"]
                socket.send(f"{token} says {message}" if isinstance(message, str) else token.encode() + message)
        except ConnectionClosed:
            pass
        got["closed"].set()

    with serve(talk, "127.0.0.1", urlsplit(outbound[1]).port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield got
        server.shutdown()


@pytest.fixture
def caller(writ, accounts, outbound, service):
    name = f"e2e-socket-{os.urandom(4).hex()}"
    config = {
        "scopes": CONNECTIONS["bigquery-read"],
        "base_url": f"{outbound[1]}/api",
        "allow": [{"methods": ["WEBSOCKET"], "path": "/talk"}],
    }
    body = {"kind": "google_service_account", "config": config, "secret": accounts["bigquery-read"]}
    writ.put(f"connections/{name}", body)
    client = writ.register(f"e2e caller {name}", allowed_resources=[f"{writ.issuer}/connections"])
    permit = f'permit(principal == Client::"{client.client_id}", action == Action::"lease", resource == Connection::"{name}");'
    writ.policy(f"{name}-lease", permit)
    return Caller(writ, client, name)


def opened(caller, path="/talk"):
    url = caller.url.replace("http://", "ws://") + path
    return connect(url, additional_headers={"Authorization": f"Bearer {caller.token}"}, proxy=None)


@pytest.mark.split
def test_messages_pass_both_ways_and_the_credential_is_on_one_side_alone(writ, caller, service):
    service["closed"].clear()
    with within(lambda: opened(caller)) as socket:
        socket.send("hello")
        assert socket.recv(10).endswith("says hello")
        socket.send(f"mine is {caller.token}")
        said = socket.recv(10)
        assert "ya29." not in said and caller.token not in said
        socket.send(b"\x00\x01")
        said = socket.recv(10)
        assert isinstance(said, bytes) and said.endswith(b"\x00\x01") and b"ya29." not in said
    headers = service["headers"][-1]
    assert headers["Authorization"].startswith("Bearer ya29.")
    assert caller.token not in str(list(headers.raw_items()))
    assert all(caller.token not in str(message) for message in service["messages"])
    assert service["closed"].wait(10), "the service hears that the caller has gone"
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/talk")
    assert (called["status"], called["method"]) == (101, "WEBSOCKET")
    assert called["bytes_sent"] > 0 and called["bytes_received"] > 0


def test_a_path_that_the_rules_do_not_have_opens_nothing(caller):
    with within(lambda: opened(caller)):
        pass
    with pytest.raises(InvalidStatus) as refused:
        opened(caller, "/other")
    assert refused.value.response.status_code == 403


def test_a_stop_cuts_an_open_connection(writ, caller, service):
    service["closed"].clear()
    with within(lambda: opened(caller)) as socket:
        socket.send("hello")
        socket.recv(10)
        began = time.monotonic()
        writ.admin("POST", f"clients/{caller.client.client_id}/suspend", 200)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(20)
    took = time.monotonic() - began
    assert took < 5 + 2.5, f"cut after {took:.1f} s"
    assert closed.value.rcvd.code == 1008
    assert service["closed"].wait(10)


def test_messages_are_bounded_in_number(writ, caller):
    with within(lambda: opened(caller)) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send("flood")
        while True:
            socket.recv(60)
    assert closed.value.rcvd.code == 1011
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/talk", reason="ProviderFailed")
    assert called["bytes_received"] == 0


def within(act):
    """What `act` gives once the policy that was just written is in force."""

    def tried():
        try:
            return act()
        except InvalidStatus as refused:
            assert refused.response.status_code == 403
            return None

    return within_the_bound(tried)

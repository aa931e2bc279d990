"""The third journey of the README: an agent posts to a chat and reads a code host for its user, and holds no credential of either."""

import json
import os
import socket
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest
from hub import ROOT, eventually

EXAMPLE = ROOT / "examples" / "connections"
AGENT = EXAMPLE / "agent.py"
POSTED = "posted as ada: Open: #7 The door squeaks, #9 No tea left\n"


class Agent:
    """The agent, as the README starts it, with its services where Writ may call them."""

    def __init__(self, dev_json, services: str):
        command = [sys.executable, str(AGENT), "--dev", str(dev_json)]
        environment = os.environ | {"SERVICES_PORT": services.rsplit(":", 1)[1]}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def says(self) -> str:
        return self.process.stdout.readline()

    def opened(self) -> str:
        """The link that it shows next."""
        line = self.says()
        assert line.startswith("Open http"), line + self.process.stdout.read()
        return line.removeprefix("Open ").strip()

    def ended(self) -> int:
        return self.process.wait(20)


@pytest.fixture
def journey(writ, outbound):
    """Starts the agent. Nobody has connected the chat."""
    known = writ.admin("GET", "connections/chat/accounts")
    for account in known.json()["items"] if known.is_success else []:
        writ.admin("DELETE", f"connections/chat/accounts/{account['id']}", 204)
    return lambda: Agent(writ.state / "dev.json", outbound[4])


def begin(agent: Agent, person) -> None:
    """The user goes to the link, and sees the code that the agent shows."""
    link = agent.opened()
    (code,) = parse_qs(urlsplit(link).query)["user_code"]
    assert code in agent.says()
    person.open(url=link)
    person.submit(press="button.main")


def let_in(person) -> None:
    assert "connections:use" in str(person.look()["fields"])
    person.consent(scopes=["connections:use"], duration="hour")


def test_an_agent_uses_two_services_for_its_user_who_connects_once(writ, journey, outbound, browser):
    with browser.person("connects") as person:
        with journey() as agent:
            begin(agent, person)
            person.signin()
            let_in(person)
            # The code host needs nobody: its key is the tenant's. The chat is the user's own.
            shown = person.open(url=agent.opened())
            assert "Chat" in shown["heading"] and "Release notes" in shown["text"] and "Post messages as you" in shown["text"]
            going = person.submit(press="button.main")
            service = person.until(leaves="/connect/") if "/connect/" in going["url"] else going
            assert service["url"].startswith(outbound[4]), service["url"]
            done = person.submit(press="button")
            assert "ada" in done["text"], done
            assert agent.says() == POSTED
            assert agent.ended() == 0
        mine = person.open(url=f"{writ.issuer}/me")
        assert "ada" in mine["text"] and "chat" in mine["text"]
        # Started again, it asks its user again; the chat stays connected, and knows its tokens.
        with journey() as agent:
            begin(agent, person)
            let_in(person)
            assert agent.says() == POSTED
            assert agent.ended() == 0
    assert (writ.state / "services.json").stat().st_mode & 0o077 == 0
    # Events arrive a moment after what they tell of.
    eventually(lambda: {event["connection"] for event in writ.events(type="proxy.called")} >= {"chat", "code"})


def test_a_service_that_knows_the_account_no_more_is_named_with_what_helps(writ, journey, browser):
    with browser.person("forgotten") as person:
        with journey() as agent:
            begin(agent, person)
            person.signin()
            let_in(person)
            person.open(url=agent.opened())
            going = person.submit(press="button.main")
            if "/connect/" in going["url"]:
                person.until(leaves="/connect/")
            person.submit(press="button")
            assert agent.ended() == 0
        (writ.state / "services.json").unlink()
        with journey() as agent:
            begin(agent, person)
            let_in(person)
            said = agent.process.stdout.read()
            assert agent.ended() == 1
    assert f"disconnect it at {writ.issuer}/me" in said and "Traceback" not in said, said


@pytest.fixture
def example(monkeypatch):
    """The module, for what needs no Writ."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for name in ("agent", "services"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import agent

    yield agent
    for name in ("agent", "services"):
        sys.modules.pop(name, None)


class Stub:
    """Writ, as far as an agent notices: access tokens that are over after one call, refresh tokens that are good once, and an account that is
    connected while the agent waits."""

    def __init__(self):
        self.tokens, self.asked, self.connected = 0, [], True

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
            self.asked.append(form)
            if form["refresh_token"] != f"refresh-{self.tokens}":
                return httpx.Response(400, json={"error": "invalid_grant"})
            self.tokens += 1
            return httpx.Response(200, json={"access_token": f"access-{self.tokens}", "refresh_token": f"refresh-{self.tokens}"})
        if request.headers["authorization"] != f"Bearer access-{self.tokens}":
            return httpx.Response(401, json={"error": "invalid_token"})
        if not self.connected:
            # The user takes longer than a token lives.
            self.connected, self.tokens = True, self.tokens + 1
            return httpx.Response(400, json={"error": "interaction_required", "connect_url": "https://id.example/connect"})
        return httpx.Response(200, json={"ok": True})


@pytest.fixture
def stubbed(example, monkeypatch):
    stub = Stub()
    writ = example.Writ("https://id.example/t/main", "client")
    writ.http = httpx.Client(transport=httpx.MockTransport(stub.answer))
    writ.token, writ.refresh_token = "access-over", "refresh-0"
    monkeypatch.setattr(example.time, "sleep", lambda _: None)
    return stub, writ


def test_an_agent_renews_its_token_and_calls_again(stubbed):
    stub, writ = stubbed
    assert writ.call("GET", "chat", "messages").json() == {"ok": True}
    assert [form["grant_type"] for form in stub.asked] == ["refresh_token"]
    assert writ.refresh_token == "refresh-1"
    assert writ.call("GET", "chat", "messages").is_success and len(stub.asked) == 1


def test_an_agent_renews_its_token_while_its_user_connects(stubbed):
    stub, writ = stubbed
    writ.token, writ.refresh_token, stub.connected = "access-0", "refresh-1", False
    assert writ.call("GET", "chat", "messages").is_success
    assert len(stub.asked) == 1


def test_an_agent_whose_user_has_taken_it_back_says_so_and_asks_no_more(stubbed, capsys):
    stub, writ = stubbed
    writ.refresh_token = "refresh-taken-back"
    with pytest.raises(SystemExit, match="start again"):
        writ.call("GET", "chat", "messages")
    assert len(stub.asked) == 1


def test_what_an_agent_needs_first_is_named(tmp_path):
    for program in (AGENT, ROOT / "examples" / "sandbox" / "try.py"):
        without = subprocess.run([sys.executable, program, "--dev", tmp_path / "dev.json"], capture_output=True, text=True, timeout=60)
        assert without.returncode == 1
        assert "start scripts/dev first" in without.stderr and "Traceback" not in without.stderr


def test_a_second_agent_says_that_the_services_run_already(tmp_path):
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"issuer": "http://localhost:9/t/main"}))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = os.environ | {"SERVICES_PORT": str(taken.getsockname()[1])}
        command = [sys.executable, AGENT, "--dev", file]
        second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "is taken" in second.stderr and "Traceback" not in second.stderr

"""The third journey of the README: an agent posts to a chat and reads a code host for its user, and holds no credential of either."""

import subprocess
import sys

import pytest
from hub import ROOT, eventually

AGENT = ROOT / "examples" / "connections" / "agent.py"


@pytest.fixture
def journey(writ, outbound, monkeypatch):
    """The agent, as the README starts it, with its services where Writ may call them."""
    monkeypatch.setenv("SERVICES_PORT", outbound[4].rsplit(":", 1)[1])
    command = [sys.executable, str(AGENT), "--dev", str(writ.state / "dev.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        yield process
        process.kill()


def opened(process) -> str:
    """The link that the agent shows next."""
    line = process.stdout.readline()
    assert line.startswith("Open http"), line + process.stdout.read()
    return line.removeprefix("Open ").strip()


def test_an_agent_uses_two_services_for_its_user_who_connects_once(writ, journey, outbound, browser):
    with browser.person("connects") as person:
        person.open(url=opened(journey))
        person.submit(press="button.main")
        person.signin()
        assert "connections:use" in str(person.look()["fields"])
        person.consent(scopes=["connections:use"], duration="hour")
        # The code host needs nobody: its key is the tenant's. The chat is the user's own.
        shown = person.open(url=opened(journey))
        assert "Chat" in shown["heading"] and "Release notes" in shown["text"] and "Post messages as you" in shown["text"]
        going = person.submit(press="button.main")
        service = person.until(leaves="/connect/") if "/connect/" in going["url"] else going
        assert service["url"].startswith(outbound[4]), service["url"]
        done = person.submit(press="button")
        assert "ada" in done["text"], done
        assert journey.stdout.readline() == "posted as ada: Open: #7 The door squeaks, #9 No tea left\n"
        assert journey.wait(20) == 0
        mine = person.open(url=f"{writ.issuer}/me")
        assert "ada" in mine["text"] and "chat" in mine["text"]
    # Events arrive a moment after what they tell of.
    eventually(lambda: {event["connection"] for event in writ.events(type="proxy.called")} >= {"chat", "code"})

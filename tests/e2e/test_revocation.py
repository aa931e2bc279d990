"""The example of a resource server that hears of revocations, in Python and in TypeScript: how soon a token is refused, and
that nothing but the issuer's word counts."""

import base64
import hashlib
import json
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import jwt
import pytest
from hub import AT_HOME, ROOT, Client, Process, blocks, denied, eventually, free_port
from outsiders import HANGS_UP, SESSION_REVOKED, Key, ScriptedIssuer

EXAMPLE = ROOT / "examples" / "revocation"
LANGUAGES = {
    "python": [sys.executable, EXAMPLE / "server.py"],
    "typescript": [ROOT / "node_modules" / ".bin" / "node", EXAMPLE / "server.ts"],
}
# What a request and the tests' own asking take beyond what is promised.
SLACK = 2


@pytest.fixture(scope="module", params=LANGUAGES)
def language(request) -> str:
    return request.param


@contextmanager
def serving(folder, language: str, issuer: str, resource: str, receiver: Client | None = None, port: int | None = None):
    """The example's server, running; at the port of its resource or at another."""
    environment = {"WRIT_ISSUER": issuer, "RESOURCE": resource}
    if receiver:
        environment |= {"WRIT_CLIENT_ID": receiver.client_id, "WRIT_CLIENT_SECRET": receiver.client_secret}
    url = resource
    if port:
        environment["PORT"] = str(port)
        url = httpx.URL(resource).copy_with(port=port)
    with Process(LANGUAGES[language], folder / f"{language}-{free_port()}.log", env=environment) as process:
        process.ready(lambda: httpx.get(url).status_code == 401, within=60)
        yield


def get(resource: str, token: str):
    return httpx.get(resource, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def refused_after(resource: str, token: str, since: float, within: float) -> float:
    """How long it took until the token was refused, as one that was revoked."""
    answer = eventually(lambda: denied(get(resource, token)), within, every=0.02)
    assert answer.status_code == 401
    assert "revoked" in answer.headers["www-authenticate"]
    return time.monotonic() - since


def unaccepted(answer):
    """The answer, unless the resource accepted the token: without a status list it may say that it cannot tell."""
    return None if answer.is_success else answer


# With Writ.


@dataclass
class Yard:
    """A resource of its own with agents that may use it."""

    writ: object
    resource: str

    def agent(self) -> Client:
        return self.writ.register("e2e yard", tags=["yard"], allowed_resources=[self.resource])

    def token(self, agent: Client) -> str:
        return self.writ.token(agent, self.resource, "use").raise_for_status().json()["access_token"]

    def receiver(self) -> Client:
        """The resource server: it may have a stream of events."""
        own = [self.resource, f"{self.writ.issuer}/ssf"]
        return self.writ.register("e2e yard server", "resource_server", allowed_resources=own)

    def ttl(self) -> int:
        """What the status list promises."""
        answer = self.writ.http.get(f"{self.writ.issuer}/status-list")
        assert answer.headers["content-type"] == "application/statuslist+jwt"
        return jwt.decode(answer.text, options={"verify_signature": False})["ttl"]


@pytest.fixture(scope="module")
def yard(writ) -> Yard:
    yard = Yard(writ, f"http://localhost:{free_port()}/yard")
    scopes = [{"name": "use", "description": "Use it"}]
    writ.admin("POST", "resources", 201, json={"resource": yard.resource, "name": "Yard", "scopes": scopes})
    on = f'resource in Resource::"{yard.resource}"'
    tag = yard.resource.rsplit(":", 1)[1].removesuffix("/yard")
    writ.policy(
        f"e2e-yard-{tag}",
        f'permit(principal, action == Action::"issue", {on}) when {{ principal.tags.contains("yard") }};',
    )
    agent = yard.agent()
    eventually(lambda: writ.token(agent, yard.resource, "use").is_success)
    return yard


def report(capsys, what: str, seconds: float, bound: float):
    with capsys.disabled():
        print(f"\n{what}: refused {seconds:.2f} s after the answer to the kill; promised {bound} s")


@pytest.mark.split
def test_a_killed_agents_token_is_refused_within_the_ttl_of_the_status_list(yard, folder, language, capsys):
    agent, other = yard.agent(), yard.agent()
    token, others = yard.token(agent), yard.token(other)
    ttl = yard.ttl()
    with serving(folder, language, yard.writ.issuer, yard.resource):
        accepted = get(yard.resource, token)
        assert (accepted.status_code, accepted.json()["client_id"]) == (200, agent.client_id)
        yard.writ.admin("POST", f"clients/{agent.client_id}/kill", 200)
        delay = refused_after(yard.resource, token, time.monotonic(), ttl + SLACK)
        report(capsys, f"{language}, status list", delay, ttl)
        assert delay <= ttl + SLACK
        assert get(yard.resource, others).status_code == 200


def test_a_suspended_agents_token_is_accepted_again_once_it_is_resumed(yard, folder, language):
    agent = yard.agent()
    token = yard.token(agent)
    with serving(folder, language, yard.writ.issuer, yard.resource):
        assert get(yard.resource, token).status_code == 200
        yard.writ.admin("POST", f"clients/{agent.client_id}/suspend", 200)
        eventually(lambda: denied(get(yard.resource, token)))
        yard.writ.admin("POST", f"clients/{agent.client_id}/resume", 200)
        eventually(lambda: get(yard.resource, token).is_success)


@pytest.mark.split
def test_with_signals_a_killed_agents_token_is_refused_sooner(yard, folder, language, capsys):
    agent, other = yard.agent(), yard.agent()
    token, others = yard.token(agent), yard.token(other)
    receiver = yard.receiver()
    with serving(folder, language, yard.writ.issuer, yard.resource, receiver):
        assert get(yard.resource, token).status_code == 200
        listens(yard.writ, receiver)
        yard.writ.admin("POST", f"clients/{agent.client_id}/kill", 200)
        # A poll that waits looks once a second.
        bound = 1
        delay = refused_after(yard.resource, token, time.monotonic(), bound + SLACK)
        report(capsys, f"{language}, signals", delay, bound)
        assert delay <= bound + SLACK
        assert get(yard.resource, others).status_code == 200


def test_with_signals_a_single_token_is_revoked_and_no_other(yard, folder, language):
    agent, receiver = yard.agent(), yard.receiver()
    token, other = yard.token(agent), yard.token(agent)
    with serving(folder, language, yard.writ.issuer, yard.resource, receiver):
        assert get(yard.resource, token).status_code == 200
        listens(yard.writ, receiver)
        form = agent.authenticate({"token": token})
        answer = yard.writ.http.post(f"{yard.writ.issuer}/revoke", headers={"CF-Connecting-IP": AT_HOME}, **form)
        assert answer.status_code == 200
        refused_after(yard.resource, token, time.monotonic(), 20)
        assert get(yard.resource, other).status_code == 200


def listens(writ, receiver: Client):
    """Waits until the receiver has made its stream: what was stopped before nobody tells it."""
    assert writ.event(type="stream.created", client=receiver.client_id)


def demonstration(writ, yard, folder: Path) -> None:
    """What scripts/dev writes, with an agent and the resource of these tests."""
    agent = yard.agent()
    credentials = {"client_id": agent.client_id, "client_secret": agent.client_secret}
    dev = {"issuer": writ.issuer, "admin": writ.dev["admin"], "resources": [yard.resource]}
    dev["agents"] = [{"name": "inventory-read", "scope": "use", **credentials}]
    (folder / "dev.json").write_text(json.dumps(dev))


def attempt(state: Path, port: int):
    program = [sys.executable, EXAMPLE / "try.py"]
    environment = {"WRIT_STATE": str(state), "PORT": str(port)}
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=90)


def test_try_says_in_one_line_what_does_not_run(writ, yard, tmp_path):
    ran = attempt(tmp_path, free_port())
    assert ran.returncode == 1 and re.fullmatch(r"No Writ is running .*scripts/dev.*\n", ran.stderr), ran.stderr
    demonstration(writ, yard, tmp_path)
    ran = attempt(tmp_path, port := free_port())
    assert ran.returncode == 1 and re.fullmatch(rf"No server at http://localhost:{port}/.*\n", ran.stderr), ran.stderr


def test_the_readme_says_the_truth(writ, yard, folder, language, tmp_path):
    """Its commands, run over an agent and a resource of these tests, at another port, print what it says but for the time."""
    page = (EXAMPLE / "README.md").read_text()
    (shown,) = [block for block in blocks(page, "console") if "try.py" in block]
    command, _, output = shown.removeprefix("$ ").partition("\n")
    assert command == "python try.py"
    demonstration(writ, yard, tmp_path)
    port = free_port()
    with serving(folder, language, writ.issuer, yard.resource, port=port):
        ran = attempt(tmp_path, port)
    assert ran.returncode == 0, ran.stderr
    seconds = re.compile(r"\d+\.\d s")
    assert seconds.sub("_ s", ran.stdout) == seconds.sub("_ s", output)


# With an issuer that does as it is told.


@pytest.fixture(scope="module")
def running():
    with ScriptedIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def guarded(running, folder, language):
    resource = f"http://localhost:{free_port()}/guarded"
    with serving(folder, language, running.origin, resource, Client("receiver", "secret")):
        yield resource


@pytest.fixture
def issuer(running):
    running.begin()
    return running


@pytest.fixture
def resource(issuer, guarded):
    eventually(lambda: get(guarded, issuer.token(guarded)).is_success)
    return guarded


def test_what_the_issuer_did_not_issue_for_this_resource_is_refused(issuer, resource):
    stranger = Key()
    now = int(time.time())
    good = issuer.token(resource)
    head, body, signature = good.split(".")
    none = jwt.encode(jwt.decode(good, options={"verify_signature": False}), None, "none", {"typ": "at+jwt"})
    for wrong in (
        issuer.token(resource, key=stranger),
        issuer.token("http://localhost:1/other"),
        issuer.token(resource, iss="http://127.0.0.1:1"),
        issuer.token(resource, exp=now - 60),
        issuer.token(resource, exp=None),
        issuer.token(resource, iat=None),
        issuer.token(resource, typ="JWT"),
        issuer.token(resource, typ="secevent+jwt"),
        issuer.token(resource, status=None),
        issuer.token(resource, status={"status_list": {"idx": 0, "uri": "http://127.0.0.1:1/status-list"}}),
        issuer.token(resource, status={"status_list": {"idx": 0, "uri": f"{issuer.origin}.example/status-list"}}),
        issuer.token(resource, idx=64),
        issuer.token(resource, idx=-1),
        issuer.token(resource, cnf={"jkt": "x"}),
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}.",
        none,
        "nonsense",
    ):
        answer = get(resource, wrong)
        assert answer.status_code == 401, wrong
        assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    for without in ({}, {"Authorization": f"Basic {good}"}, {"Authorization": "Bearer"}):
        assert httpx.get(resource, headers=without).status_code == 401
    assert get(resource, good).status_code == 200


@pytest.mark.parametrize("state", [1, 2, 3])
def test_a_place_counts_whose_state_is_not_valid_and_no_other(issuer, resource, state):
    issuer.states = {5: state}
    eventually(lambda: denied(get(resource, issuer.token(resource, idx=5))))
    for idx in (0, 4, 6, 7, 63):
        assert get(resource, issuer.token(resource, idx=idx)).status_code == 200


@pytest.mark.parametrize(
    "bad",
    [
        {"status": 503},
        {"status": 404},
        {"status": HANGS_UP},
        {"key": Key()},
        {"typ": "at+jwt"},
        {"claims": {"sub": "http://127.0.0.1:1/status-list"}},
        {"claims": {"iss": "http://127.0.0.1:1"}},
        {"claims": {"exp": 1}},
    ],
    ids=["503", "404", "no answer", "another key", "another type", "another list", "another issuer", "expired"],
)
def test_without_a_status_list_that_holds_no_token_is_accepted(issuer, resource, bad):
    token = issuer.token(resource)
    issuer.bad = bad
    answer = eventually(lambda: unaccepted(get(resource, token)))
    assert answer.status_code in (401, 503)
    issuer.bad = {}
    eventually(lambda: get(resource, token).is_success)


def test_a_get_whose_kept_connection_broke_is_sent_once_more(folder, language):
    """The issuer may close an idle connection at the moment when the resource server uses it again."""
    resource = f"http://localhost:{free_port()}/guarded"
    with ScriptedIssuer(keeping=True) as issuer, serving(folder, language, issuer.origin, resource):
        # The key set is fetched first, and leaves a connection for the status list.
        answer = get(resource, issuer.token(resource))
        assert issuer.hang_ups > 0
        assert answer.status_code == 200


def opaque(name: str) -> dict:
    return {"format": "opaque", "id": name}


@pytest.mark.parametrize("whom", ["client", "actor", "user", "identity", "token", "ancestor", "tenant"])
def test_an_event_revokes_the_tokens_that_it_is_about_and_no_other(issuer, resource, whom):
    jti, ancestor, subject = str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4())
    digest = base64.urlsafe_b64encode(hashlib.sha256(ancestor.encode()).digest()).decode().rstrip("=")
    user = {"format": "iss_sub", "iss": issuer.origin, "sub": subject}
    acts = {"act": {"sub": "client_2", "act": {"sub": "client_3"}}}
    token = issuer.token(resource, sub=subject, client_id="client_2", jti=jti, lineage=[digest], **acts)
    other = issuer.token(resource, sub="somebody else", client_id="client_4")
    about = {
        "client": issuer.some(application=opaque("client_2")),
        "actor": issuer.some(application=opaque("client_3")),
        "user": user,
        "identity": issuer.some(application=opaque("client_2"), user=user),
        "token": {"format": "jwt_id", "iss": issuer.origin, "jti": jti},
        "ancestor": {"format": "jwt_id", "iss": issuer.origin, "jti": ancestor},
        "tenant": issuer.some(),
    }
    assert get(resource, token).status_code == get(resource, other).status_code == 200
    issuer.events[whom] = issuer.event(about[whom])
    eventually(lambda: denied(get(resource, token)))
    assert get(resource, other).status_code == (401 if whom == "tenant" else 200)


def test_events_about_others_and_forged_ones_revoke_nothing(issuer, resource):
    token, mine = issuer.token(resource), issuer.some(application=opaque("client_1"))
    real = {
        "another client": issuer.event(issuer.some(application=opaque("client_9"))),
        "another tenant": issuer.event(mine | {"tenant": opaque("other")}),
        "another issuer's user": issuer.event({"format": "iss_sub", "iss": "http://127.0.0.1:1", "sub": "client_1"}),
        "another format": issuer.event({"format": "email", "email": "client_1@example.com"}),
        "another event": issuer.event(mine, events={"https://example.com/other": {}}),
        "tokens from before": issuer.event(mine, events={SESSION_REVOKED: {"event_timestamp": int(time.time()) - 60}}),
    }
    revoked = {SESSION_REVOKED: {"event_timestamp": int(time.time())}}
    forged = {
        "another key": issuer.event(mine, key=Key()),
        "another receiver": issuer.event(mine, aud="somebody else"),
        "another transmitter": issuer.event(mine, iss="http://127.0.0.1:1"),
        "an access token": issuer.token("receiver", sub_id=mine, events=revoked),
    }
    issuer.events |= real | forged
    eventually(lambda: not issuer.events)
    assert sorted(issuer.acknowledged) == sorted(real)
    assert get(resource, token).status_code == 200

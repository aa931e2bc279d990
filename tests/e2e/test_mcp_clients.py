"""MCP clients and OAuth libraries as people use them: from the URL of an MCP server alone to a call of a tool, with Chromium in the
hands of the demonstration person. Nothing here helps the clients along."""

import asyncio
import json
import re
import time
from dataclasses import dataclass

import httpx2 as httpx
import jwt
import pytest
from guides import GUIDES, Shell, follow
from hub import ROOT, Process, Writ, eventually, free_port
from mcp import Client as McpClient
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata
from person import FOLDER, NODE, Lines, answered
from test_clients import Memory
from test_mcp_server import DELETE, LANGUAGES, READ, WRITE

MODULES = ROOT / "node_modules"


def claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def redirect_uri() -> str:
    """Where nobody listens: the browser tells where it was sent."""
    return f"http://localhost:{free_port()}/callback"


@dataclass
class Notes:
    """The running MCP server of examples/mcp-server, which Writ knows."""

    writ: Writ
    url: str


SCOPES = [
    {"name": READ, "description": "Read your notes", "tool": "list_notes", "effect": "reads"},
    {"name": WRITE, "description": "Add notes", "tool": "add_note", "effect": "changes"},
    {"name": DELETE, "description": "Delete notes", "tool": "delete_note", "effect": "deletes"},
]


@pytest.fixture(scope="module")
def notes(request, writ, folder):
    port = free_port()
    url = f"http://localhost:{port}/mcp"
    # The shortest life that a resource may give its tokens.
    resource = {"resource": url, "name": "Notes", "scopes": SCOPES, "access_token_lifetime": 10}
    writ.admin("POST", "resources", 201, json=resource)
    writ.policy(f"e2e-notes-{port}", f'permit(principal, action == Action::"issue", resource in Resource::"{url}");')
    command = LANGUAGES[getattr(request, "param", "python")]
    environment = {"WRIT_ISSUER": writ.issuer, "RESOURCE": url}
    with Process(command, folder / f"notes-{port}.log", env=environment) as process:
        process.ready(lambda: httpx.post(url).status_code == 401, within=60)
        yield Notes(writ, url)


@pytest.fixture
def registered(writ) -> dict:
    """A client that its user has never met."""
    return public_client(writ)


def public_client(writ: Writ, **metadata) -> dict:
    """A client with no secret, at whatever port of this machine it listens (RFC 8252 section 7.3)."""
    body = {
        "client_name": "Notebook",
        "kind": "delegated",
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        **metadata,
    }
    made = writ.admin("POST", "clients", 201, json=body).json()
    return {"client_id": made["client_id"], "token_endpoint_auth_method": "none"}


class TypeScript:
    """A client with an SDK of TypeScript, which asks a person."""

    def __init__(self, sdk: str, server: str, person, client: dict | None = None):
        self.person, self.program = person, Lines(NODE, FOLDER / "clients" / "person.mjs")
        self.program.send(sdk=sdk, server=server, redirect=redirect_uri(), client=client)

    def say(self, **message) -> dict:
        self.program.send(**message)
        while "open" in (answer := self.program.receive()):
            self.program.send(url=self.person.approve(url=answer["open"])["url"])
        assert "error" not in answer, answer
        return answer

    def call(self, tool: str, **arguments):
        return self.say(call=tool, arguments=arguments)["result"]["content"]

    def told(self) -> dict:
        return self.say(tell=True)

    def spoil(self, token: str) -> None:
        self.say(lose=token)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.__exit__()


class Python:
    """A client with the SDK of Python, which asks a person."""

    def __init__(self, server: str, person, client: dict | None = None):
        self.server, self.person, self.memory, self.asked, self.back = server, person, Memory(), 0, {}
        redirect = redirect_uri()
        metadata = {"client_name": "e2e python", "redirect_uris": [redirect], "token_endpoint_auth_method": "none"}
        if client:
            self.memory.client = OAuthClientInformationFull.model_validate(metadata | client)
        metadata = OAuthClientMetadata.model_validate(metadata)
        self.provider = OAuthClientProvider(server, metadata, self.memory, self.ask, self.answer)

    async def ask(self, url: str):
        self.asked += 1
        self.back = answered((await asyncio.to_thread(self.person.approve, url=url))["url"])

    async def answer(self):
        return AuthorizationCodeResult(**self.back)

    def call(self, tool: str, **arguments):
        async def run():
            async with (
                httpx.AsyncClient(auth=self.provider, timeout=60) as http,
                McpClient(streamable_http_client(self.server, http_client=http)) as client,
            ):
                return await client.call_tool(tool, arguments)

        return [{"type": part.type, "text": part.text} for part in asyncio.run(run()).content]

    def told(self) -> dict:
        tokens, client = (kept.model_dump(mode="json") for kept in (self.memory.tokens, self.memory.client))
        return {"tokens": tokens, "client": client, "asked": self.asked}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Remote:
    """mcp-remote, which speaks to a program on its standard input and opens the browser of its user."""

    def __init__(self, server: str, person, folder, *options):
        self.person, self.number = person, 0
        program = MODULES / "mcp-remote" / "dist" / "proxy.js"
        environment = {"MCP_REMOTE_CONFIG_DIR": str(folder), "BROWSER": "true"}
        self.program = Lines(NODE, program, server, "--auth-timeout", "60", *options, env=environment)

    def said(self, pattern: str) -> str:
        """What it tells its user."""

        def found():
            said = "".join(self.program.said)
            assert self.program.process.poll() is None, said
            return re.search(pattern, said)

        return eventually(found, within=30)[1]

    def send(self, method: str, **params) -> int:
        self.number += 1
        self.program.send(jsonrpc="2.0", id=self.number, method=method, params=params)
        return self.number

    def answer(self, number: int) -> dict:
        while (message := self.program.receive()).get("id") != number:
            pass
        assert "result" in message, message
        return message["result"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.__exit__()


def client_of(sdk: str, server: str, person, client: dict | None = None):
    return Python(server, person, client) if sdk == "python" else TypeScript(sdk, server, person, client)


SDKS = ["python", "v1", "v2"]


def text(content: list) -> object:
    """What a tool answered."""
    (part,) = content
    return json.loads(part["text"])


@pytest.mark.parametrize("notes", LANGUAGES, indirect=True)
@pytest.mark.parametrize("sdk", SDKS)
def test_from_the_url_of_a_server_alone_a_client_registers_asks_its_user_and_calls_a_tool(notes, person, sdk):
    with client_of(sdk, notes.url, person) as client:
        assert isinstance(text(client.call("list_notes")), dict)
        told = client.told()
    assert told["asked"] == 1
    access = claims(told["tokens"]["access_token"])
    assert (access["aud"], access["iss"], access["scope"]) == (notes.url, notes.writ.issuer, READ)
    assert access["client_id"] == told["client"]["client_id"] != access["sub"]


@pytest.mark.parametrize("notes", LANGUAGES, indirect=True)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_client_that_an_administrator_registered_asks_its_user_and_calls_a_tool(notes, registered, person, sdk):
    with client_of(sdk, notes.url, person, registered) as client:
        assert isinstance(text(client.call("list_notes")), dict)
        told = client.told()
    assert told["asked"] == 1
    assert claims(told["tokens"]["access_token"])["client_id"] == registered["client_id"]


@pytest.mark.parametrize("sdk", ["python", "v2"])
def test_a_tool_whose_scope_is_missing_makes_the_client_ask_for_it_and_call_again(notes, registered, person, sdk):
    with client_of(sdk, notes.url, person, registered) as client:
        client.call("list_notes")
        assert claims(client.told()["tokens"]["access_token"])["scope"] == READ
        number = text(client.call("add_note", text="milk"))
        assert text(client.call("list_notes"))[str(number)] == "milk"
        told = client.told()
    assert told["asked"] == 2
    assert set(claims(told["tokens"]["access_token"])["scope"].split()) == {READ, WRITE}


def test_the_older_typescript_sdk_asks_for_a_missing_scope_when_its_refresh_token_is_void(notes, registered, person):
    """While it has one it refreshes at a challenge, which never widens the scope, and gives up."""
    with client_of("v1", notes.url, person, registered) as client:
        client.call("list_notes")
        client.spoil("refresh_token")
        number = text(client.call("add_note", text="eggs"))
        assert text(client.call("list_notes"))[str(number)] == "eggs"


def test_a_token_that_has_expired_is_refreshed_without_the_user(notes, registered, person):
    with client_of("python", notes.url, person, registered) as client:
        client.call("list_notes")
        first = client.told()["tokens"]
        expires = claims(first["access_token"])["exp"]
        eventually(lambda: time.time() > expires + 1, within=30)
        client.call("list_notes")
        told = client.told()
    assert told["asked"] == 1
    assert claims(told["tokens"]["access_token"])["jti"] != claims(first["access_token"])["jti"]
    assert told["tokens"]["refresh_token"] != first["refresh_token"]


@pytest.mark.parametrize("sdk", ["v1", "v2"])
def test_a_token_that_the_server_refuses_is_refreshed_without_the_user(notes, registered, person, sdk):
    with client_of(sdk, notes.url, person, registered) as client:
        client.call("list_notes")
        client.spoil("access_token")
        client.call("list_notes")
        told = client.told()
    assert told["asked"] == 1
    assert claims(told["tokens"]["access_token"])["scope"] == READ


def test_an_agent_that_its_user_stops_cannot_refresh_and_has_to_ask_again(notes, registered, person):
    with client_of("v2", notes.url, person, registered) as client:
        client.call("list_notes")
        person.open(url=f"{notes.writ.issuer}/me")
        form = f'form:has(input[name=client][value="{registered["client_id"]}"])'
        assert person.submit(press=f"{form} button[name=do][value=stop]")["status"] == 200
        # What was issued up to the second of the stop is stopped, and so is a code of that second.
        stopped = int(time.time())
        eventually(lambda: time.time() >= stopped + 1)
        client.spoil("access_token")
        assert isinstance(text(client.call("list_notes")), dict)
        assert client.told()["asked"] == 2


def test_a_client_that_was_deleted_registers_again_and_asks_again(notes, person):
    with client_of("v2", notes.url, person) as client:
        client.call("list_notes")
        gone = client.told()["client"]["client_id"]
        current = notes.writ.admin("GET", f"clients/{gone}", 200)
        notes.writ.admin("DELETE", f"clients/{gone}", 204, headers={"If-Match": current.headers["etag"]})
        client.spoil("access_token")
        eventually(lambda: notes.writ.admin("GET", f"clients/{gone}").status_code == 404)
        assert isinstance(text(client.call("list_notes")), dict)
        told = client.told()
    assert told["client"]["client_id"] != gone
    assert told["asked"] == 2


def use(remote: Remote, let_in):
    """A program whose user lets it in, and that calls a tool several times."""
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "e2e", "version": "1"}}
    initialized = remote.send("initialize", **about)
    let_in(remote)
    remote.answer(initialized)
    remote.program.send(jsonrpc="2.0", method="notifications/initialized")
    # It refreshes at each request, because the token lives for no longer than it refreshes ahead.
    for _ in range(3):
        found = remote.answer(remote.send("tools/call", name="list_notes", arguments={}))
        assert isinstance(text(found["content"]), dict)


def in_the_browser_that_it_opens(remote: Remote):
    remote.person.approve(url=remote.said(r"visiting:\n(\S+)"))


def in_a_browser_elsewhere(remote: Remote):
    person = remote.person
    person.open(url=remote.said(r"visit:\n\S+\s+(http\S+)"))
    person.submit(press="main button.main")
    if person.look()["page"] == "signin":
        person.signin()
    assert person.consent()["status"] == 200


def test_mcp_remote_registers_and_brings_a_local_program_to_a_protected_server(notes, person, tmp_path):
    with Remote(notes.url, person, tmp_path) as remote:
        use(remote, in_the_browser_that_it_opens)


def test_mcp_remote_with_a_registered_client_brings_a_local_program_to_a_protected_server(notes, person, tmp_path):
    client = public_client(notes.writ, redirect_uris=["http://localhost/oauth/callback"])
    with Remote(notes.url, person, tmp_path, "--static-oauth-client-info", json.dumps(client)) as remote:
        use(remote, in_the_browser_that_it_opens)


def test_mcp_remote_on_a_machine_without_a_browser_is_let_in_from_another(notes, person, tmp_path):
    with Remote(notes.url, person, tmp_path, "--device-code") as remote:
        use(remote, in_a_browser_elsewhere)


def test_following_the_readme_of_the_example_leads_to_a_note(writ, person, folder, tmp_path):
    port = free_port()
    url = f"http://localhost:{port}/mcp"
    names = {
        "http://localhost:8787/t/main": writ.issuer,
        "http://localhost:8010": f"http://localhost:{port}",
        "policies/notes": f"policies/e2e-readme-{port}",
    }
    environment = {"WRIT_ISSUER": writ.issuer, "RESOURCE": url}
    with Process(LANGUAGES["python"], folder / f"readme-{port}.log", env=environment) as process, Shell(tmp_path, {"WRIT_STATE": str(writ.state)}) as shell:
        process.ready(lambda: httpx.post(url).status_code == 401, within=60)
        follow(shell, (GUIDES / "README.md").read_text(), names)
        follow(shell, (ROOT / "examples" / "mcp-server" / "README.md").read_text(), names)
        with client_of("v2", url, person, public_client(writ)) as client:
            assert text(client.call("add_note", text="milk"))


def flow(library: str, notes: Notes, registered: dict, person, parameters: dict, **decision) -> dict:
    with Lines(NODE, FOLDER / "clients" / "flow.mjs") as program:
        asked = {"issuer": notes.writ.issuer, "client": registered, "redirect": redirect_uri()}
        program.send(library=library, parameters=parameters, **asked)
        answer = program.receive()
        assert "open" in answer, answer
        program.send(url=person.approve(url=answer["open"], **decision)["url"])
        return program.receive()


LIBRARIES = ["openid-client", "oauth4webapi"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_general_library_gets_a_token_with_a_code_and_refreshes_it(notes, registered, person, library):
    answer = flow(library, notes, registered, person, {"resource": notes.url, "scope": f"{READ} {WRITE}"})
    assert "error" not in answer, answer
    first, refreshed = (claims(answer[which]["access_token"]) for which in ("tokens", "refreshed"))
    assert set(first["scope"].split()) == {READ, WRITE} == set(refreshed["scope"].split())
    assert (first["aud"], first["sub"]) == (refreshed["aud"], refreshed["sub"]) and first["aud"] == notes.url
    assert first["jti"] != refreshed["jti"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_the_user_does_not_tick_is_not_in_the_token(notes, registered, person, library):
    answer = flow(library, notes, registered, person, {"resource": notes.url, "scope": f"{READ} {WRITE}"}, scopes=[READ])
    assert "error" not in answer, answer
    assert answer["tokens"]["scope"] == READ == claims(answer["tokens"]["access_token"])["scope"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_user_who_refuses_sends_the_client_away_with_an_error_of_the_issuer(notes, registered, person, library):
    answer = flow(library, notes, registered, person, {"resource": notes.url, "scope": DELETE}, decision="deny")
    assert "tokens" not in answer
    assert answer["code"] == "access_denied"


def test_the_conformance_runner_finds_no_failure(notes, registered, person, tmp_path):
    port = free_port()
    runner = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    command = [NODE, runner, "authorization", "--url", notes.writ.issuer, "--client-id", registered["client_id"]]
    command += ["--resource", notes.url, "-p", str(port), "-o", tmp_path]
    with Process(command, tmp_path / "log") as process:
        found = process.ready(lambda: re.search(r"http\S+/authorize\?\S+", process.log.read_text()), within=60)
        person.approve(url=found[0])
        assert process.process.wait(60) == 0, process.log.read_text()
    checks = [check for file in tmp_path.rglob("checks.json") for check in json.loads(file.read_text())]
    assert {check["id"]: check["status"] for check in checks} == {
        "authorization-server-metadata": "SUCCESS",
        "authorization-server-metadata-cimd": "SUCCESS",
        "authorization-code-grant": "SUCCESS",
    }

"""The example of an MCP server with a scope for each tool, in Python and in TypeScript, with an issuer that does as it is told."""

import json
import sys
import time

import httpx2 as httpx
import pytest
from hub import ROOT, Process, free_port
from outsiders import Key, ScriptedIssuer

EXAMPLE = ROOT / "examples" / "mcp-server"
LANGUAGES = {
    "python": [sys.executable, EXAMPLE / "server.py"],
    "typescript": [ROOT / "node_modules" / ".bin" / "node", EXAMPLE / "server.ts"],
}
READ, WRITE, DELETE = "notes:read", "notes:write", "notes:delete"


class Notes:
    """The running server."""

    def __init__(self, issuer: ScriptedIssuer, resource: str):
        self.issuer, self.resource = issuer, resource
        self.metadata = resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")

    def token(self, *scopes: str, user: str = "ada", **claims) -> str:
        return self.issuer.token(self.resource, scope=" ".join(scopes), sub=user, **claims)

    def ask(self, method: str, token: str | None = None, **params):
        headers = {"Accept": "application/json, text/event-stream"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(self.resource, headers=headers, json=message, timeout=30)

    def call(self, tool: str, token: str, **arguments):
        return self.ask("tools/call", token, name=tool, arguments=arguments)

    def result(self, tool: str, token: str, **arguments):
        answer = self.call(tool, token, **arguments)
        assert answer.status_code == 200, answer.text
        result = answer.json()["result"]
        assert not result.get("isError"), result
        return json.loads(result["content"][0]["text"])


@pytest.fixture(scope="module", params=LANGUAGES)
def notes(request, folder):
    resource = f"http://localhost:{free_port()}/mcp"
    with ScriptedIssuer() as issuer:
        environment = {"WRIT_ISSUER": issuer.origin, "RESOURCE": resource}
        with Process(LANGUAGES[request.param], folder / f"notes-{request.param}.log", env=environment) as process:
            notes = Notes(issuer, resource)
            process.ready(lambda: httpx.get(notes.metadata).is_success, within=60)
            yield notes


def test_without_a_token_a_client_learns_where_to_get_one_and_the_least_scope(notes):
    answer = notes.ask("tools/list")
    assert answer.status_code == 401
    challenge = answer.headers["www-authenticate"]
    assert f'resource_metadata="{notes.metadata}"' in challenge and f'scope="{READ}"' in challenge
    metadata = httpx.get(notes.metadata).json()
    assert metadata["resource"] == notes.resource
    assert metadata["authorization_servers"] == [notes.issuer.origin]
    assert metadata["scopes_supported"] == [READ, WRITE, DELETE]


def test_a_token_of_the_least_scope_lists_every_tool(notes):
    answer = notes.ask("tools/list", notes.token(READ))
    tools = [tool["name"] for tool in answer.json()["result"]["tools"]]
    assert sorted(tools) == ["add_note", "delete_note", "list_notes"]


@pytest.mark.parametrize(
    ("tool", "arguments", "needed"),
    [("add_note", {"text": "milk"}, {READ, WRITE}), ("delete_note", {"number": 1}, {READ, DELETE})],
)
def test_a_call_without_its_scope_is_answered_with_every_scope_of_the_operation(notes, tool, arguments, needed):
    answer = notes.call(tool, notes.token(READ), **arguments)
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge and f'resource_metadata="{notes.metadata}"' in challenge
    scope = challenge.partition('scope="')[2].partition('"')[0]
    assert set(scope.split()) == needed
    assert notes.result("list_notes", notes.token(READ)) == {}


def test_the_notes_of_one_user_are_no_other_users(notes):
    everything = [READ, WRITE, DELETE]
    grace, joan = notes.token(*everything, user="grace"), notes.token(*everything, user="joan")
    number = notes.result("add_note", grace, text="milk")
    assert notes.result("list_notes", grace) == {str(number): "milk"}
    assert notes.result("list_notes", joan) == {}
    assert notes.result("delete_note", joan, number=number) is False
    assert notes.result("delete_note", grace, number=number) is True
    assert notes.result("list_notes", grace) == {}


def test_what_the_issuer_did_not_issue_for_this_server_is_refused(notes):
    assert notes.ask("tools/list", notes.token(READ)).status_code == 200
    for wrong in (
        notes.token(READ, key=Key()),
        notes.token(READ, aud="http://localhost:1/mcp"),
        notes.token(READ, iss="http://127.0.0.1:1"),
        notes.token(READ, exp=int(time.time()) - 120),
        notes.token(READ, cnf={"jkt": "x"}),
        "nonsense",
    ):
        answer = notes.ask("tools/list", wrong)
        assert answer.status_code == 401, wrong
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]

"""The MCP servers of examples/mcp-server report what agents do: beside the calls, into the audit trail."""

import hashlib
import json
import time
from base64 import urlsafe_b64encode

import httpx2 as httpx
import jwt
import pytest
from hub import Process, eventually, free_port
from test_mcp_clients import SCOPES
from test_mcp_server import LANGUAGES, READ, WRITE


def digest(arguments: dict) -> str:
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def call(url: str, token: str, tool: str, **arguments) -> httpx.Response:
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return httpx.post(url, headers=headers, json=message, timeout=30)


@pytest.fixture(params=LANGUAGES)
def notes(request, writ, folder):
    """The running server, the client that reports for it, and an agent."""
    port = free_port()
    url = f"http://localhost:{port}/mcp"
    writ.admin("POST", "resources", 201, json={"resource": url, "name": "Notes", "scopes": SCOPES})
    server = writ.register("e2e notes", "resource_server", allowed_resources=[url, f"{writ.issuer}/events"])
    agent = writ.register("e2e notetaker", allowed_resources=[url])
    cedar = f'permit(principal == Client::"{agent.client_id}", action == Action::"issue", resource in Resource::"{url}");'
    writ.policy(f"e2e-reports-{port}", cedar)
    token = eventually(lambda: writ.token(agent, url, f"{READ} {WRITE}").json().get("access_token"))
    environment = {"WRIT_ISSUER": writ.issuer, "RESOURCE": url}
    environment |= {"WRIT_CLIENT_ID": server.client_id, "WRIT_CLIENT_SECRET": server.client_secret}
    with Process(LANGUAGES[request.param], folder / f"reports-{request.param}-{port}.log", env=environment) as process:
        process.ready(lambda: httpx.post(url).status_code == 401, within=60)
        yield url, server, agent, token, process


def test_what_an_agent_did_is_in_the_trail_with_its_token_its_tool_and_what_came_of_it(notes, writ):
    url, server, agent, token, process = notes
    begun = time.time()
    assert call(url, token, "add_note", text="milk").status_code == 200
    # The tool does not take a number: the call fails, and is reported all the same.
    call(url, token, "add_note", text={"no": "text"})
    assert call(url, token, "list_notes").status_code == 200

    def reported():
        events = writ.events(type="tool.called", client_id=agent.client_id)
        return {event["tool"] for event in events} == {"add_note", "list_notes"} and events

    events = eventually(reported)
    done = next(e for e in events if e["tool"] == "add_note" and e["outcome"] == "succeeded")
    assert done["arguments_sha256"] == digest({"text": "milk"})
    assert done["scope_given"].split() == [READ, WRITE]
    assert (done["resource"], done["resource_server"], done["subject"]) == (url, server.client_id, agent.client_id)
    assert int(begun) <= done["at"] <= time.time() and done["millis"] < 30_000
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert done["jti_hash"] == urlsafe_b64encode(hashlib.sha256(jti.encode()).digest()).decode().rstrip("=")
    issued = writ.event(type="token.issued", client=agent.client_id, jti_hash=done["jti_hash"])
    assert issued["resource"] == url

    # What waits when the server is asked to end is sent before it does.
    assert call(url, token, "add_note", text="tea").status_code == 200
    process.__exit__()
    eventually(lambda: any(e["arguments_sha256"] == digest({"text": "tea"}) for e in writ.events(type="tool.called", client_id=agent.client_id)))


def test_a_server_whose_writ_does_not_take_its_reports_works_all_the_same(writ, folder):
    port = free_port()
    url = f"http://localhost:{port}/mcp"
    writ.admin("POST", "resources", 201, json={"resource": url, "name": "Notes", "scopes": SCOPES})
    agent = writ.register("e2e notetaker", allowed_resources=[url])
    cedar = f'permit(principal == Client::"{agent.client_id}", action == Action::"issue", resource in Resource::"{url}");'
    writ.policy(f"e2e-reports-{port}", cedar)
    token = eventually(lambda: writ.token(agent, url, f"{READ} {WRITE}").json().get("access_token"))
    for language, command in LANGUAGES.items():
        environment = {"WRIT_ISSUER": writ.issuer, "RESOURCE": url, "WRIT_CLIENT_ID": "nobody", "WRIT_CLIENT_SECRET": "x"}
        with Process(command, folder / f"reports-no-{language}.log", env=environment) as process:
            process.ready(lambda: httpx.post(url).status_code == 401, within=60)
            for n in range(3):
                begun = time.monotonic()
                assert call(url, token, "add_note", text=str(n)).status_code == 200
                assert time.monotonic() - begun < 2
                time.sleep(1)
            assert process.process.poll() is None

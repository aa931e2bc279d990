"""The MCP server of examples/connections: a tool needs an account that its user has not connected, the client shows the page, and the call goes on."""

import asyncio
import sys

import httpx2 as httpx
import pytest
from hub import ROOT, Process, free_port
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import ElicitResult
from test_mcp_clients import Python

EXAMPLE = ROOT / "examples" / "connections"


@pytest.fixture
def chat(writ, outbound, folder):
    """The server, the chat behind it, and the connection; the URL of the server."""
    port = free_port()
    url = f"http://localhost:{port}/mcp"
    scopes = [{"name": "chat:post", "description": "Post to your chat", "tool": "post_message", "effect": "changes"}]
    writ.admin("POST", "resources", 201, json={"resource": url, "name": "Chat tools", "scopes": scopes})
    server = writ.register(f"chat tools {port}", "resource_server", allowed_resources=[url])
    name = f"e2e-chat-{port}"
    writ.policy(name, f'permit(principal, action == Action::"issue", resource in Resource::"{url}");')
    writ.policy(f"{name}-lease", 'permit(principal, action == Action::"lease", resource == Connection::"chat");')
    environment = {
        "WRIT_ISSUER": writ.issuer,
        "RESOURCE": url,
        "CLIENT_ID": server.client_id,
        "CLIENT_SECRET": server.client_secret,
    }
    services = {"SERVICES_PORT": outbound[4].rsplit(":", 1)[1]}
    # The agent's own program makes the connection, and serves the chat.
    made = [sys.executable, "-c", MAKE, str(writ.state / "dev.json")]
    with Process(made, folder / f"chat-{port}.log", env=services) as making:
        making.ready(lambda: httpx.get(f"{outbound[4]}/chat/api/auth.test").status_code == 401, within=60)
        # What the user has connected for another test is of another chat.
        disconnect(writ)
        with Process([sys.executable, str(EXAMPLE / "server.py")], folder / f"chat-tools-{port}.log", env=environment) as process:
            process.ready(lambda: httpx.post(url).status_code == 401, within=60)
            yield url


MAKE = f"""
import json, sys, time
sys.path.insert(0, {str(EXAMPLE)!r})
import agent, services
agent.register(json.load(open(sys.argv[1])))
services.serve()
while True:
    time.sleep(60)
"""


class Eliciting(Python):
    """A client that shows its user the page that a tool needs, or refuses to."""

    def __init__(self, server: str, person, connects: bool, mode: str = "auto"):
        super().__init__(server, person)
        self.connects, self.mode, self.shown, self.pages = connects, mode, [], connect

    async def elicited(self, _context, params) -> ElicitResult:
        self.shown.append(params)
        if self.connects:
            await asyncio.to_thread(self.pages, self.person, params.url)
        return ElicitResult(action="accept" if self.connects else "decline")

    def call(self, tool: str, **arguments):
        async def run():
            async with (
                httpx.AsyncClient(auth=self.provider, timeout=60) as http,
                McpClient(
                    streamable_http_client(self.server, http_client=http),
                    elicitation_callback=self.elicited,
                    mode=self.mode,
                ) as client,
            ):
                try:
                    return (await client.call_tool(tool, arguments)).content[0].text
                except MCPError as error:
                    return error

        return asyncio.run(run())


def connect(person, url: str) -> None:
    """The user connects the chat on the page."""
    person.open(url=url)
    going = person.submit(press="button.main")
    if "/connect/" in going["url"]:
        person.until(leaves="/connect/")
    assert "ada" in person.submit(press="button")["text"]


def test_a_client_shows_the_page_that_a_tool_needs_and_the_call_goes_on(writ, chat, person):
    with Eliciting(chat, person, connects=False) as client:
        assert client.call("post_message", text="one") == "not posted: the chat is not connected"
        assert client.shown[0].url.startswith(f"{writ.issuer}/connect/chat?request=")
        client.connects = True
        assert client.call("post_message", text="two") == "posted as ada"
        assert client.call("post_message", text="three") == "posted as ada"
    assert len(client.shown) == 2
    disconnect(writ)


def test_an_older_client_is_told_the_page_by_an_error_and_calls_again(writ, chat, person):
    with Eliciting(chat, person, connects=True, mode="legacy") as client:
        told = client.call("post_message", text="one")
        assert isinstance(told, MCPError), told
        (wanted,) = told.error.data["elicitations"]
        assert (told.error.code, wanted["mode"]) == (-32042, "url")
        connect(person, wanted["url"])
        assert client.call("post_message", text="two") == "posted as ada"
    disconnect(writ)


def approve(person, url: str) -> None:
    """The user approves the message on the page."""
    assert person.open(url=url)["status"] == 200
    assert "approved" in person.submit(press="button.main")["text"]


def test_a_tool_that_needs_an_approval_shows_its_page_and_the_call_goes_on_once(writ, chat, person):
    with Eliciting(chat, person, connects=True) as client:
        assert client.call("post_message", text="one") == "posted as ada"
        writ.policy("e2e-chat-guard", '@require("approval") permit(principal, action == Action::"lease", resource == Connection::"chat");')
        try:
            client.pages = approve
            assert client.call("post_message", text="two") == "posted as ada"
            assert client.shown[-1].url.startswith(f"{writ.issuer}/me/approvals/")
            client.connects = False
            assert client.call("post_message", text="three") == "not posted: it was not approved"
        finally:
            writ.admin("DELETE", "policies/e2e-chat-guard", 204)
    disconnect(writ)


def disconnect(writ) -> None:
    for account in writ.admin("GET", "connections/chat/accounts", 200).json()["items"]:
        writ.admin("DELETE", f"connections/chat/accounts/{account['id']}", 204)

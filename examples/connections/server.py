"""An MCP server whose tool posts to a chat as the user of the call. It holds no credential of the chat: the call goes through Writ, with the user's token
beside the server's own secret. Where the user has not connected the chat yet, or has to approve the message first, the client is asked to open a page
(MCP's URL elicitation), and its next try goes on.

    WRIT_ISSUER=… RESOURCE=… CLIENT_ID=… CLIENT_SECRET=… python examples/connections/server.py
"""

import os
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2 as httpx
import uvicorn
from fastmcp.server.auth.providers.jwt import JWTVerifier
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import UrlElicitationRequiredError
from mcp.types import ElicitRequest, ElicitRequestURLParams, InputRequiredResult

ISSUER, RESOURCE = os.environ["WRIT_ISSUER"], os.environ["RESOURCE"]
SECRET = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
SCOPE = "chat:post"
CHAT = f"{ISSUER}/connections/chat/proxy"
# From this version on a tool answers what it needs; before, it fails with it.
ANSWERS_SINCE = "2026-07-28"

verifier = JWTVerifier(jwks_uri=f"{ISSUER}/jwks.json", issuer=ISSUER, audience=RESOURCE, algorithm="ES256")
# The verifier compares the audience itself.
auth = AuthSettings(
    issuer_url=ISSUER, resource_server_url=RESOURCE, required_scopes=[SCOPE], validate_token_resource=False
)
mcp = MCPServer("chat", token_verifier=verifier, auth=auth)
writ = httpx.AsyncClient(auth=SECRET, timeout=30)


@mcp.tool()
async def post_message(text: str, ctx: Context) -> str | InputRequiredResult:
    """Posts a message to #shop as you."""
    token = get_access_token().token
    headers = {"Writ-Subject-Token": token, "Writ-Tool": "post_message"}
    body = {"channel": "#shop", "text": text}
    answer = await writ.post(f"{CHAT}/chat.postMessage", headers=headers, json=body)
    said = answer.json()
    if answer.is_success:
        return f"posted as {said['message']['user']}"
    match said.get("error"):
        case "interaction_required":
            page, message = said["connect_url"], "Connect your chat account, then it goes on"
            declined = "not posted: the chat is not connected"
        case "authorization_pending":
            page, message = said["approval_uri"], f"Approve the message with the number {said['approval_number']}"
            declined = "not posted: it was not approved"
        case _:
            raise RuntimeError(f"{answer.status_code} {said.get('error_description', said)}")
    answered = (ctx.input_responses or {}).get("chat")
    if answered is not None and answered.action != "accept":
        return declined
    return ask_to_open(ctx, page, message)


def ask_to_open(ctx: Context, url: str, message: str) -> InputRequiredResult:
    """Has the client show a page to its user."""
    if (ctx.protocol_version or "") >= ANSWERS_SINCE:
        request = ElicitRequest(params=ElicitRequestURLParams(message=message, url=url))
        return InputRequiredResult(input_requests={"chat": request})
    raise UrlElicitationRequiredError([ElicitRequestURLParams(message=message, url=url, elicitation_id=uuid4().hex)])


if __name__ == "__main__":
    uvicorn.run(mcp.streamable_http_app(stateless_http=True), host="localhost", port=urlsplit(RESOURCE).port or 80)

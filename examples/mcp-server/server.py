"""An MCP server that Writ protects: a list of notes for each user, with a scope for each tool.

A call that lacks a scope is answered 403 with the scopes that it needs, so that the client can ask the user for more. Nothing
here calls Writ but for its key set, and where WRIT_CLIENT_ID is set, to report the calls.
"""

import json
import os
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import RemoteAuthProvider
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

from reports import Reports

DEV = Path(os.environ.get("WRIT_STATE") or Path(__file__).parent / "../../.writ") / "dev.json"


def issuer_of_dev() -> str:
    """The issuer of a running `scripts/dev`; where none runs, the one that it has by default."""
    return json.loads(DEV.read_text())["issuer"] if DEV.exists() else "http://localhost:8787/t/main"


ISSUER = os.environ.get("WRIT_ISSUER") or issuer_of_dev()
RESOURCE = os.environ.get("RESOURCE", "http://localhost:8010/mcp")
READ, WRITE, DELETE = "notes:read", "notes:write", "notes:delete"
SCOPES = {"list_notes": [READ], "add_note": [READ, WRITE], "delete_note": [READ, DELETE]}


class Verifier(JWTVerifier):
    """Takes no token that is bound to a key (DPoP), because no proof is read here."""

    async def verify_token(self, token: str):
        verified = await super().verify_token(token)
        return None if verified and "cnf" in verified.claims else verified


url = urlsplit(RESOURCE)
origin = f"{url.scheme}://{url.netloc}"
auth = RemoteAuthProvider(
    Verifier(jwks_uri=f"{ISSUER}/jwks.json", issuer=ISSUER, audience=RESOURCE, algorithm="ES256", required_scopes=[READ]),
    authorization_servers=[ISSUER],
    base_url=origin,
    scopes_supported=[READ, WRITE, DELETE],
    resource_name="Notes",
)
reports = None
if "WRIT_CLIENT_ID" in os.environ:
    reports = Reports(ISSUER, os.environ["WRIT_CLIENT_ID"], os.environ["WRIT_CLIENT_SECRET"], SCOPES)


@asynccontextmanager
async def lifespan(_):
    yield
    if reports:
        await reports.close()


mcp = FastMCP("notes", auth=auth, middleware=[reports] if reports else [], lifespan=lifespan)
notes: dict[str, dict[int, str]] = {}
ids = count(1)


def mine(tool: str) -> dict[int, str]:
    """The notes of the token's user, if the token has the scopes of the tool."""
    token = get_access_token()
    if missing := set(SCOPES[tool]) - set(token.scopes):
        raise ToolError(f"the access token lacks {' '.join(sorted(missing))}")
    return notes.setdefault(token.claims["sub"], {})


@mcp.tool
def list_notes() -> dict[int, str]:
    """All notes, by their numbers."""
    return mine("list_notes")


@mcp.tool
def add_note(text: str) -> int:
    """Adds a note, and answers its number."""
    number = next(ids)
    mine("add_note")[number] = text
    return number


@mcp.tool
def delete_note(number: int) -> bool:
    """Deletes a note. Answers whether there was one."""
    return mine("delete_note").pop(number, None) is not None


class StepUp:
    """Answers a call that lacks a scope over HTTP, where an OAuth client looks. It runs behind FastMCP's authentication."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["user"].is_authenticated:
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more and len(body) <= 1 << 20:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if more:
            return await JSONResponse({"error": "invalid_request"}, 413)(scope, receive, send)
        needed = needed_by(body)
        if not needed <= set(scope["auth"].scopes):
            metadata = f"{origin}/.well-known/oauth-protected-resource{url.path}"
            challenge = f'Bearer error="insufficient_scope", scope="{" ".join(sorted(needed))}", resource_metadata="{metadata}"'
            refusal = JSONResponse({"error": "insufficient_scope"}, 403, {"WWW-Authenticate": challenge})
            return await refusal(scope, receive, send)
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay():
            return unread.pop() if unread else await receive()

        await self.app(scope, replay, send)


def needed_by(body: bytes) -> set[str]:
    """The scopes of the tool that is called. What is no such call is FastMCP's to answer."""
    try:
        message = json.loads(body)
        return set(SCOPES[message["params"]["name"]]) if message["method"] == "tools/call" else set()
    except (ValueError, KeyError, TypeError):
        return set()


app = mcp.http_app(path=url.path, stateless_http=True, json_response=True, middleware=[Middleware(StepUp)])

if __name__ == "__main__":
    print(f"Notes at {RESOURCE}, for tokens of {ISSUER}", flush=True)
    uvicorn.run(app, host="localhost", port=int(os.environ.get("PORT", url.port or 8010)), log_level="warning")

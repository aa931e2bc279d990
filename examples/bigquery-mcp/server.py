"""An MCP server with two BigQuery tools that never holds a Google key.

Who calls is decided by Writ's access token: its signature, issuer, audience and scopes. What the server may then do
at Google comes from Writ as well, leased for this one call: the caller's own token is the `subject_token`, so the
policy decides about the agent and not about this server.
"""

import json
from urllib.parse import quote, urlsplit

import httpx2 as httpx
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token
from starlette.middleware import Middleware
from starlette.responses import JSONResponse

import settings

READ, WRITE = "mcp:bigquery.read", "mcp:bigquery.write"
SCOPE_OF_TOOL = {"bigquery_read": READ, "bigquery_write": WRITE}
CONNECTION_OF_TOOL = {"bigquery_read": "bigquery-read", "bigquery_write": "bigquery-readwrite"}
MAX_MESSAGE = 1_000_000


class BigQuery:
    """BigQuery's REST API with a credential that is leased for each call."""

    def __init__(self, config: dict[str, str], bigquery_url: str):
        self.config, self.bigquery_url = config, bigquery_url.rstrip("/")
        self.http = httpx.AsyncClient(timeout=30)

    async def lease(self, tool: str) -> str:
        connection = CONNECTION_OF_TOOL[tool]
        answer = await self.http.post(
            f"{self.config['WRIT_ISSUER']}/connections/{connection}/token",
            auth=settings.basic(self.config),
            data={"subject_token": get_access_token().token, "tool": tool},
        )
        if answer.is_success:
            return answer.json()["access_token"]
        try:
            error = answer.json()
        except ValueError:
            error = {}
        decision = f" (decision {error['decision']})" if "decision" in error else ""
        raise ToolError(f"no lease of {connection}: {answer.status_code} {error.get('error', '')}{decision}")

    async def call(self, tool: str, method: str, table: str, action: str, **request) -> dict:
        try:
            project, dataset, name = (quote(part, safe="") for part in table.split("."))
        except ValueError:
            raise ToolError("table must read project.dataset.table") from None
        path = f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{name}/{action}"
        bearer = {"Authorization": f"Bearer {await self.lease(tool)}"}
        answer = await self.http.request(method, self.bigquery_url + path, headers=bearer, **request)
        if answer.is_success:
            return answer.json()
        try:
            reason = answer.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            reason = "no explanation"
        raise ToolError(f"BigQuery answered {answer.status_code}: {reason}")


class ScopeChallenge:
    """Answers a `tools/call` that lacks its scope with the HTTP 403 that MCP's authorization prescribes.

    FastMCP refuses such a call too (`require_scopes`), but inside a JSON-RPC message, where no OAuth client looks.
    This runs behind FastMCP's authentication: the token is already verified.
    """

    def __init__(self, app, resource_metadata: str):
        self.app, self.resource_metadata = app, resource_metadata

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["user"].is_authenticated:
            return await self.app(scope, receive, send)
        body = await self.read(receive)
        if body is None:
            return await JSONResponse({"error": "invalid_request"}, 413)(scope, receive, send)
        missing = self.required(body) - set(scope["auth"].scopes)
        if missing:
            challenge = (
                f'Bearer error="insufficient_scope", scope="{" ".join(sorted(missing))}", '
                f'resource_metadata="{self.resource_metadata}", '
                'error_description="the access token does not carry the scope of this tool"'
            )
            refusal = JSONResponse({"error": "insufficient_scope"}, 403, {"WWW-Authenticate": challenge})
            return await refusal(scope, receive, send)

        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay():
            return unread.pop() if unread else await receive()

        await self.app(scope, replay, send)

    @staticmethod
    async def read(receive) -> bytes | None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_MESSAGE:
                return None
        return body

    @staticmethod
    def required(body: bytes) -> set[str]:
        try:
            message = json.loads(body)
            if message["method"] != "tools/call":
                return set()
            return {SCOPE_OF_TOOL[message["params"]["name"]]}
        except (ValueError, KeyError, TypeError):
            return set()  # not a call of a tool of ours: FastMCP answers it


def build(config: dict[str, str], bigquery_url: str):
    issuer, resource = config["WRIT_ISSUER"], config["MCP_RESOURCE"]
    url = urlsplit(resource)
    origin = f"{url.scheme}://{url.netloc}"
    verifier = JWTVerifier(
        jwks_uri=f"{issuer}/jwks.json",
        issuer=issuer,
        audience=resource,
        algorithm="ES256",
    )
    auth = RemoteAuthProvider(
        token_verifier=verifier,
        authorization_servers=[issuer],
        base_url=origin,
        scopes_supported=list(SCOPE_OF_TOOL.values()),
        resource_name="BigQuery",
    )
    mcp = FastMCP("bigquery", auth=auth)
    bigquery = BigQuery(config, bigquery_url)

    @mcp.tool(auth=require_scopes(READ))
    async def bigquery_read(table: str, max_results: int = 100) -> dict:
        """Read the first rows of a table, given as project.dataset.table."""
        page = await bigquery.call("bigquery_read", "GET", table, "data", params={"maxResults": min(max_results, 1000)})
        rows = [[cell["v"] for cell in row["f"]] for row in page.get("rows", [])]
        return {"total_rows": int(page["totalRows"]), "rows": rows}

    @mcp.tool(auth=require_scopes(WRITE))
    async def bigquery_write(table: str, rows: list[dict]) -> dict:
        """Append rows, each an object of column to value, to a table, given as project.dataset.table."""
        answer = await bigquery.call(
            "bigquery_write", "POST", table, "insertAll", json={"rows": [{"json": row} for row in rows]}
        )
        if errors := answer.get("insertErrors"):
            raise ToolError(f"BigQuery refused rows: {json.dumps(errors)}")
        return {"inserted": len(rows)}

    # Stateless with plain JSON answers: any HTTP client can call a tool with one request.
    app = mcp.http_app(
        path=url.path,
        stateless_http=True,
        json_response=True,
        middleware=[
            Middleware(
                ScopeChallenge,
                resource_metadata=f"{origin}/.well-known/oauth-protected-resource{url.path}",
            )
        ],
    )
    return app, url


if __name__ == "__main__":
    import os

    import uvicorn

    args = settings.arguments(__doc__.splitlines()[0]).parse_args()
    app, url = build(
        settings.load(args.dev, "resource_servers"),
        os.environ.get("BIGQUERY_URL", "https://bigquery.googleapis.com"),
    )
    port = int(os.environ.get("PORT", url.port or 8000))
    print(f"MCP server at {url.geturl()}, listening on port {port}", flush=True)
    uvicorn.run(app, host=os.environ.get("HOST", "localhost"), port=port, log_level="warning")

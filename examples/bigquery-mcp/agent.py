"""The two workflows: an agent gets a token as itself and calls one tool. It holds no Google key and sees none."""

import asyncio
import json
import logging
import sys

import httpx2 as httpx
from fastmcp import Client
from fastmcp.client.auth import ClientCredentialsOAuthProvider
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError

import settings

SCOPES = {"read": "mcp:bigquery.read", "write": "mcp:bigquery.write"}
CALLS = {
    "bigquery_read": {},
    "bigquery_write": {"rows": [{"sku": "B-204", "warehouse": "Oslo", "quantity": 7}]},
}


class Refused(Exception):
    pass


async def run(config: dict[str, str], workflow: str, tool: str, table: str) -> dict:
    # Finds the token endpoint through the server's metadata; `issuer` pins who may be sent the secret.
    auth = ClientCredentialsOAuthProvider(
        client_id=config["WRIT_CLIENT_ID"],
        client_secret=config["WRIT_CLIENT_SECRET"],
        scopes=SCOPES[workflow],
        issuer=config["WRIT_ISSUER"],
    )
    refusals = []

    async def note(response):
        # The MCP client drops the answer behind an error; whoever debugs a policy wants to read it.
        begins_the_flow = response.status_code == 401 and str(response.url) == config["MCP_RESOURCE"]
        if response.is_error and not begins_the_flow:
            reason = response.headers.get("www-authenticate") or (await response.aread()).decode()
            refusals.append(f"{response.status_code} from {response.url}: {reason}")

    def http_client(**options):
        return httpx.AsyncClient(**options, event_hooks={"response": [note]})

    transport = StreamableHttpTransport(config["MCP_RESOURCE"], auth=auth, httpx_client_factory=http_client)
    try:
        async with Client(transport) as client:
            answer = await client.call_tool(tool, {"table": table, **CALLS[tool]})
            return answer.structured_content
    except ToolError as error:
        raise Refused(str(error)) from None
    except Exception as error:
        raise Refused(refusals[-1] if refusals else str(error)) from error


if __name__ == "__main__":
    parser = settings.arguments(__doc__.splitlines()[0])
    parser.add_argument("workflow", choices=SCOPES)
    parser.add_argument("--tool", choices=CALLS, help="try another tool than the workflow's own")
    parser.add_argument("--table", default="demo-project.warehouse.stock", help="project.dataset.table (%(default)s)")
    args = parser.parse_args()
    config = settings.load(args.dev, "agents", SCOPES[args.workflow])
    tool = args.tool or f"bigquery_{args.workflow}"
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # it logs refusals with a traceback; one line says it better
    try:
        print(json.dumps(asyncio.run(run(config, args.workflow, tool, args.table))))
    except Refused as refused:
        sys.exit(f"refused: {refused}")

"""The MCP server of the article that this example follows, written for Descope: BigQuery's tools, each with a scope of its own.

DESCOPE_CONFIG_URL alone says where everything is. It holds no credential: the agent's own token fetches what a call of a tool needs, which is the
key of a service account (a connection that hands one out) or an access token of Google (one that mints them).
"""

import base64
import json
import os
import time
from urllib.parse import urlsplit

import httpx2 as httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from descope import DescopeClient
from fastmcp import FastMCP
from fastmcp.server.auth.providers.descope import DescopeProvider
from fastmcp.server.dependencies import get_access_token

SERVER_URL = os.environ["SERVER_URL"]
BIGQUERY = os.environ["BIGQUERY_URL"]
READ, WRITE = "mcp:bigquery.read", "mcp:bigquery.write"
CONNECTIONS = {READ: "bigquery-read-cert", WRITE: "bigquery-readwrite-cert"}

auth = DescopeProvider(config_url=os.environ["DESCOPE_CONFIG_URL"], base_url=SERVER_URL, scopes_supported=[READ, WRITE])
descope = DescopeClient(project_id=auth.project_id, base_url=auth.descope_base_url)
mcp = FastMCP("bigquery", auth=auth)


def google_token(scope: str) -> str:
    """Steps 2 to 7 of the article: who calls, may it, and the token for what it calls."""
    token = get_access_token().token
    claims = descope.validate_session(token, audience=SERVER_URL)
    if scope not in claims["scopes"]:
        raise PermissionError(f"the token lacks {scope}")
    answer = httpx.post(
        f"{auth.descope_base_url}/v1/mgmt/outbound/app/user/token",
        headers={"Authorization": f"Bearer {auth.project_id}:{token}"},
        json={
            "appId": CONNECTIONS[scope],
            "userId": claims["sub"],
            "options": {"withRefreshToken": False, "forceRefresh": False},
        },
    )
    if answer.is_error:
        raise PermissionError(f"{answer.status_code}: {answer.text}")
    body = answer.json()
    return exchange(json.loads(body["credentials"])) if "credentials" in body else body["token"]["accessToken"]


def exchange(account: dict) -> str:
    def part(value) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "scope": "https://www.googleapis.com/auth/bigquery",
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
    }
    text = f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': account['private_key_id']})}.{part(claims)}"
    key = serialization.load_pem_private_key(account["private_key"].encode(), password=None)
    assertion = f"{text}.{part(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = httpx.post(account["token_uri"], data=form).raise_for_status()
    return answer.json()["access_token"]


def table(project_id: str, dataset_id: str, table_id: str, method: str) -> str:
    return f"{BIGQUERY}/bigquery/v2/projects/{project_id}/datasets/{dataset_id}/tables/{table_id}/{method}"


@mcp.tool
def bigquery_read(project_id: str, dataset_id: str, table_id: str, limit: int = 100) -> dict:
    """Read rows."""
    headers = {"Authorization": f"Bearer {google_token(READ)}"}
    answer = httpx.get(table(project_id, dataset_id, table_id, "data"), headers=headers, params={"maxResults": limit})
    return answer.raise_for_status().json()


@mcp.tool
def bigquery_write(project_id: str, dataset_id: str, table_id: str, rows: list[dict]) -> dict:
    """Append rows."""
    headers = {"Authorization": f"Bearer {google_token(WRITE)}"}
    body = {"rows": [{"json": row} for row in rows]}
    answer = httpx.post(table(project_id, dataset_id, table_id, "insertAll"), headers=headers, json=body)
    return answer.raise_for_status().json()


if __name__ == "__main__":
    mcp.run(transport="http", host="localhost", port=urlsplit(SERVER_URL).port, show_banner=False)

"""Two workflows, one MCP server, two service accounts, and nobody but the vault holds a key."""

import json
import subprocess
import sys

import httpx2 as httpx
import pytest
from hub import EXAMPLE, READ, TABLE, WRITE

pytestmark = pytest.mark.split

NEW_ROW = ["B-204", "Oslo", "7"]


def agent(dev_json, *arguments):
    command = [sys.executable, EXAMPLE / "agent.py", *arguments, "--dev", dev_json]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def call(url: str, bearer: str | None, tool: str, **arguments):
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    return httpx.post(url, json=message, headers=headers, timeout=60)


def test_the_read_agent_reads(mcp_server, dev_json, google):
    ran = agent(dev_json, "read")
    assert ran.returncode == 0, ran.stderr
    rows = google.seen()["rows"]
    assert json.loads(ran.stdout) == {"total_rows": len(rows), "rows": rows}


def test_the_write_agent_writes(mcp_server, dev_json, google):
    before = google.seen()["rows"]
    ran = agent(dev_json, "write")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"inserted": 1}
    assert google.seen()["rows"] == [*before, NEW_ROW]


def test_the_read_agent_never_gets_the_write_scope(writ, shop):
    both = writ.token(shop.reader, shop.resource, f"{READ} {WRITE}")
    assert both.status_code == 200
    assert both.json()["scope"] == READ
    write_only = writ.token(shop.reader, shop.resource, WRITE)
    assert (write_only.status_code, write_only.json()["error"]) == (400, "invalid_scope")


def test_a_write_call_of_the_read_agent_is_answered_403_with_the_challenge(mcp_server, shop, google):
    before = google.seen()["rows"]
    answer = call(mcp_server, shop.token(shop.reader, READ), "bigquery_write", table=TABLE, rows=[{"sku": "X"}])
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    metadata = mcp_server.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_scope"' in challenge
    assert f'scope="{WRITE}"' in challenge
    assert f'resource_metadata="{metadata}"' in challenge
    assert google.seen()["rows"] == before


def test_stepping_up_does_not_get_the_read_agent_further(mcp_server, dev_json, google):
    before = google.seen()["rows"]
    ran = agent(dev_json, "read", "--tool", "bigquery_write")
    assert ran.returncode == 1
    assert ran.stderr.startswith("refused: 403 ") and "insufficient_scope" in ran.stderr
    assert google.seen()["rows"] == before


def test_the_read_agent_does_not_see_the_write_tool(mcp_server, shop):
    token = shop.token(shop.reader, READ)
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    answer = httpx.post(mcp_server, json=message, headers=headers).json()
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["bigquery_read"]


def test_a_call_without_a_token_is_led_to_the_authorization_server(mcp_server, writ):
    refused = call(mcp_server, None, "bigquery_read", table=TABLE)
    assert refused.status_code == 401
    metadata = refused.headers["www-authenticate"].split('resource_metadata="')[1].split('"')[0]
    described = httpx.get(metadata).json()
    assert described["resource"] == mcp_server
    assert described["authorization_servers"] == [writ.issuer]


def test_a_token_for_another_resource_or_with_a_bent_signature_is_refused_401(mcp_server, writ, shop):
    token = shop.token(shop.reader, READ)
    head, claims, signature = token.split(".")
    bent = signature[:-6] + ("AAAAAA" if signature[-6:] != "AAAAAA" else "BBBBBB")
    for wrong in (
        f"{head}.{claims}.{bent}",
        writ.token(writ.administrator, f"{writ.issuer}/admin").json()["access_token"],
    ):
        assert call(mcp_server, wrong, "bigquery_read", table=TABLE).status_code == 401


def test_the_tool_takes_no_token_as_an_argument(mcp_server, shop):
    token = shop.token(shop.reader, READ)
    answer = call(mcp_server, token, "bigquery_read", table=TABLE, token=token).json()
    assert answer["result"]["isError"] is True


def test_writ_signs_the_assertion_that_google_asks_for(google, writ, shop, accounts, connection):
    token = shop.token(shop.lessee, READ)
    assert writ.lease(shop.server, connection, token).status_code == 200
    account, seen = accounts["bigquery-read"], google.seen()["last_assertion"]
    assert seen["header"]["alg"] == "RS256"
    assert seen["header"]["kid"] == account["private_key_id"]
    claims = seen["claims"]
    assert claims["iss"] == account["client_email"]
    assert claims["aud"] == account["token_uri"]
    assert claims["scope"] == "https://www.googleapis.com/auth/bigquery.readonly"
    assert 0 < claims["exp"] - claims["iat"] <= 3600


def test_google_itself_stops_a_write_with_what_the_read_connection_leases(google, writ, shop):
    leased = writ.lease(shop.server, "bigquery-read", shop.token(shop.reader, READ)).json()
    url = f"{google.origin}/bigquery/v2/projects/demo-project/datasets/warehouse/tables/stock"
    bearer = {"Authorization": f"Bearer {leased['access_token']}"}
    assert httpx.get(f"{url}/data", headers=bearer).status_code == 200
    refused = httpx.post(f"{url}/insertAll", headers=bearer, json={"rows": [{"json": {"sku": "X"}}]})
    assert refused.status_code == 403
    assert refused.json()["error"]["status"] == "PERMISSION_DENIED"

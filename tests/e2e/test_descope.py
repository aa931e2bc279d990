"""The published SDKs of Descope, and FastMCP's provider for it, with Writ as the base URL."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2 as httpx
import pytest
from connect import CONNECTIONS
from descope import AuthException, DescopeClient, RateLimitException
from fastmcp import Client as McpClient
from fastmcp.client.auth import BearerAuth
from guides import GUIDES, Shell, follow
from hub import AT_HOME, READ, WRITE, Client, Process, eventually, free_port
from jwt import InvalidAudienceError
from test_clients import javascript

FOLDER = Path(__file__).parent
MISSING = "E111504"


@pytest.fixture(scope="module")
def project(writ, google, accounts):
    """A tenant whose administrator has followed docs/guides/coming-from-descope.md as far as the servers go."""
    tenant = writ.admin("GET", "tenants/main", 200)
    settings = tenant.json()["settings"]
    body = tenant.json() | {"settings": settings | {"descope": True}}
    headers = {"If-Match": tenant.headers["etag"]}
    project_id = writ.admin("PUT", "tenants/main", 200, json=body, headers=headers).json()["project_id"]

    tag = os.urandom(4).hex()
    server_url = f"http://localhost:{free_port()}"
    scopes = [{"name": READ, "description": "Read rows"}, {"name": WRITE, "description": "Append rows"}]
    resource = {"id": f"bigquery-{tag}", "resource": server_url, "name": "BigQuery", "scopes": scopes}
    writ.admin("POST", "resources", 201, json=resource)
    admin = f"{writ.issuer}/admin"
    reader = writ.register("descope reader", allowed_resources=[server_url])
    writer = writ.register("descope writer", allowed_resources=[server_url])
    manager = writ.register("descope manager", "resource_server", allowed_resources=[server_url, admin])
    user = writ.admin("POST", "users", 201, json={"name": "Ada"}).json()["id"]

    described = {
        "name": "Calendar",
        "oauth2": {
            "authorization_endpoint": "https://as.example/authorize",
            "token_endpoint": "https://as.example/token",
        },
    }
    config = {"service": described, "client_id": "writ", "scopes": ["events.read", "events.write"]}
    for name, owner in ((f"calendar-{tag}", "user"), (f"team-{tag}", "tenant")):
        body = {"kind": "oauth2", "config": config | {"owner": owner}, "secret": {"client_secret": "of the connection"}}
        writ.put(f"connections/{name}", body)
    search = {"name": "Search", "proxy": {"base_url": "https://api.search.example", "header": "x-api-key"}}
    handed_out = {"service": search, "may_be_leased": True}
    writ.put(f"connections/search-{tag}", {"kind": "api_key", "config": handed_out, "secret": {"api_key": "first-key"}})
    # One mints access tokens of Google; the other hands a key of a service account out, as the article has it.
    writ.connect("bigquery-read-cert", accounts["bigquery-read"], CONNECTIONS["bigquery-read"])
    account = json.dumps(accounts["bigquery-readwrite"])
    writ.put("connections/bigquery-readwrite-cert", {"kind": "api_key", "config": handed_out, "secret": {"api_key": account}})

    def permit(who: Client, action: str, where: str, when: str = "true") -> str:
        return f'permit(principal == Client::"{who.client_id}", action == Action::"{action}", {where}) when {{ {when} }};'

    def connection(name: str) -> str:
        return f'resource == Connection::"{name}"'

    policies = [
        permit(reader, "issue", f'resource in Resource::"{server_url}"', f'resource.name == "{READ}"'),
        permit(writer, "issue", f'resource in Resource::"{server_url}"', f'resource.name == "{WRITE}"'),
        permit(reader, "lease", connection("bigquery-read-cert"), f'context.scopes.contains("{READ}")'),
        permit(writer, "lease", connection("bigquery-readwrite-cert"), f'context.scopes.contains("{WRITE}")'),
        permit(manager, "issue", f'resource in Resource::"{admin}"'),
        *(permit(manager, "lease", connection(f"{name}-{tag}")) for name in ("calendar", "team", "search")),
    ]
    for number, policy in enumerate(policies):
        writ.policy(f"descope-{tag}-{number}", policy)

    base = writ.dev["origin"]
    one = SimpleNamespace(
        id=project_id, base=base, tag=tag, user=user, server_url=server_url, reader=reader, writer=writer, manager=manager,
        key=f"{manager.client_id}:{manager.client_secret}",
        config_url=f"{base}/v1/apps/agentic/{project_id}/RS{resource['id']}/.well-known/openid-configuration",
        token_url=f"{base}/oauth2/v1/apps/agentic/{project_id}/RS{resource['id']}/token",
    )  # fmt: skip
    eventually(lambda: httpx.get(one.config_url).is_success)
    eventually(lambda: ask_token(one, reader, READ).is_success and ask_token(one, writer, WRITE).is_success)
    one.sdk = DescopeClient(project_id=project_id, management_key=one.key, base_url=base)
    eventually(lambda: allowed(one.sdk.mgmt.outbound_application.load_all_applications))
    eventually(lambda: code(one, "team", one.sdk.mgmt.outbound_application.fetch_tenant_token) == MISSING)
    eventually(lambda: code(one, "calendar", one.sdk.mgmt.outbound_application.fetch_token, user) == MISSING)
    yield one
    tenant = writ.admin("GET", "tenants/main", 200)
    body = tenant.json() | {"settings": settings}
    writ.admin("PUT", "tenants/main", 200, json=body, headers={"If-Match": tenant.headers["etag"]})


def ask_token(project, client: Client, scope: str):
    form = {"grant_type": "client_credentials", "scope": scope}
    return httpx.post(project.token_url, headers={"CF-Connecting-IP": AT_HOME}, **client.authenticate(form))


def token(project, client: Client, scope: str) -> str:
    return ask_token(project, client, scope).raise_for_status().json()["access_token"]


def allowed(call) -> bool:
    try:
        call()
    except AuthException as error:
        assert error.status_code == 403
        return False
    return True


def code(project, app: str, call, about: str = "main") -> str:
    """The code with which a fetch fails."""
    try:
        call(f"{app}-{project.tag}", about)
    except (AuthException, RateLimitException) as error:
        return json.loads(error.error_message)["errorCode"]
    return ""


def node(project, call: str, *arguments, key: str | None = None):
    answer = javascript("descope.mjs", base=project.base, project=project.id, key=key, call=call, arguments=arguments)
    assert "error" not in answer, answer
    return answer["result"]


def test_the_python_sdk_fetches_and_deletes_connection_tokens(project):
    outbound, user, app = project.sdk.mgmt.outbound_application, project.user, f"calendar-{project.tag}"
    assert code(project, "calendar", outbound.fetch_token, user) == MISSING
    expiry = int(time.time()) + 3600
    outbound.upload_user_token(app, user, access_token="token-of-ada", access_token_expiry=expiry, scopes=["events.read"])
    latest = outbound.fetch_token(app, user)["token"]
    assert latest["accessToken"] == "token-of-ada" and latest["scopes"] == ["events.read"]
    assert int(latest["accessTokenExpiry"]) > time.time()
    by_scopes = outbound.fetch_token_by_scopes(app, user, ["events.read"], options={"withRefreshToken": False})["token"]
    assert by_scopes["id"] == latest["id"]
    with pytest.raises(AuthException) as refused:
        outbound.fetch_token_by_scopes(app, user, ["events.write"])
    assert json.loads(refused.value.error_message)["errorCode"] == MISSING
    with pytest.raises(AuthException) as refused:
        outbound.fetch_token(app, "user_nobody")
    assert refused.value.status_code == 403

    outbound.upload_tenant_token(f"team-{project.tag}", "main", access_token="token-of-the-team", access_token_expiry=expiry)
    for fetched in (
        outbound.fetch_tenant_token(f"team-{project.tag}", "main"),
        outbound.fetch_tenant_token_by_scopes(f"team-{project.tag}", "main", ["events.read"]),
    ):
        assert fetched["token"]["accessToken"] == "token-of-the-team"

    assert outbound.list_apps_with_user_token(user) == {"appIds": [app]}
    outbound.delete_token(latest["id"])
    eventually(lambda: code(project, "calendar", outbound.fetch_token, user) == MISSING)
    wrong = {"appId": app, "userId": "user_nobody", "accessToken": "x"}
    assert len(outbound.batch_upload_user_tokens([wrong])["failures"]) == 1
    another = {"appId": app, "userId": user, "accessToken": "another-token-of-ada"}
    assert outbound.batch_upload_user_tokens([another]) == {"failures": []}
    eventually(lambda: code(project, "calendar", outbound.fetch_token, user) == "")
    outbound.delete_user_tokens(app_id=app, user_id=user)
    eventually(lambda: code(project, "calendar", outbound.fetch_token, user) == MISSING)


def test_the_python_sdk_loads_connections_exchanges_a_key_and_validates_the_session(project):
    outbound = project.sdk.mgmt.outbound_application
    assert outbound.load_application(f"calendar-{project.tag}")["app"]["defaultScopes"] == ["events.read", "events.write"]
    names = [app["id"] for app in outbound.load_all_applications()["apps"]]
    assert f"team-{project.tag}" in names

    plain = DescopeClient(project_id=project.id, base_url=project.base)
    session = plain.exchange_access_key(f"{project.reader.client_id}:{project.reader.client_secret}")
    assert session["keyId"] == project.reader.client_id
    validated = plain.validate_session(session["sessionToken"]["jwt"])
    assert validated["sub"] == project.reader.client_id and validated["scopes"] == [READ]
    with pytest.raises(AuthException):
        plain.exchange_access_key(f"{project.reader.client_id}:wrong")
    with pytest.raises(InvalidAudienceError):
        plain.validate_session(session["sessionToken"]["jwt"], audience="https://elsewhere.example")


def test_a_token_of_an_agent_fetches_with_the_python_sdk(project):
    agents = token(project, project.reader, READ)
    plain = DescopeClient(project_id=project.id, base_url=project.base)
    assert plain.validate_session(agents, audience=project.server_url)["sub"] == project.reader.client_id
    outbound = plain.mgmt.outbound_application_by_token
    fetched = outbound.fetch_token(agents, "bigquery-read-cert", project.reader.client_id)["token"]
    assert fetched["accessToken"].startswith("ya29.")
    with pytest.raises(AuthException) as refused:
        outbound.fetch_token(agents, "bigquery-readwrite-cert", project.reader.client_id)
    assert refused.value.status_code == 403


def test_the_node_sdk_does_the_same(project):
    app, team, user, key = f"calendar-{project.tag}", f"team-{project.tag}", project.user, project.key
    outbound = "management.outboundApplication"
    missing = node(project, f"{outbound}.fetchToken", app, user, key=key)
    assert missing["code"] == 404 and missing["error"]["errorCode"] == MISSING
    tokens = {"appId": app, "userId": user, "accessToken": "token-by-node", "accessTokenExpiry": int(time.time()) + 3600}
    assert node(project, f"{outbound}.uploadUserToken", tokens, key=key)["ok"]
    of_team = {**tokens, "appId": team, "userId": None, "tenantId": "main"}
    assert node(project, f"{outbound}.uploadTenantToken", of_team, key=key)["ok"]
    for call, arguments in {
        "fetchToken": [app, user],
        "fetchTokenByScopes": [app, user, ["events.read"], {"withRefreshToken": False}],
        "fetchTenantToken": [team, "main"],
        "fetchTenantTokenByScopes": [team, "main", ["events.write"]],
    }.items():
        fetched = node(project, f"{outbound}.{call}", *arguments, key=key)
        assert fetched["data"]["accessToken"] == "token-by-node", (call, fetched)
    assert node(project, f"{outbound}.listAppsWithUserToken", user, key=key)["data"] == [app]
    search = f"search-{project.tag}"
    assert node(project, f"{outbound}.uploadTenantApiKey", search, "main", "second-key", key=key)["ok"]
    asked = f"{outbound}.fetchTenantToken", search, "main"
    eventually(lambda: node(project, *asked, key=key)["data"]["accessToken"] == "second-key")
    assert node(project, f"{outbound}.loadApplication", app, key=key)["data"]["id"] == app
    assert app in [one["id"] for one in node(project, f"{outbound}.loadAllApplications", key=key)["data"]]
    assert node(project, f"{outbound}.deleteUserTokens", app, user, key=key)["ok"]
    eventually(lambda: node(project, f"{outbound}.fetchToken", app, user, key=key)["code"] == 404)

    reader = f"{project.reader.client_id}:{project.reader.client_secret}"
    session = node(project, "exchangeAccessKey", reader)
    assert session["token"]["sub"] == project.reader.client_id
    agentic = token(project, project.reader, READ)
    assert node(project, "validateSession", agentic)["token"]["scopes"] == [READ]


def test_the_worked_example_runs_with_its_one_environment_variable_changed(project, google, folder):
    environment = {"DESCOPE_CONFIG_URL": project.config_url, "SERVER_URL": project.server_url, "BIGQUERY_URL": google.origin}
    with Process([sys.executable, FOLDER / "descope_server.py"], folder / "descope.log", env=environment) as process:
        metadata = f"{project.server_url}/.well-known/oauth-protected-resource/mcp"
        process.ready(lambda: httpx.get(metadata).is_success, within=60)
        issuer = project.config_url.removesuffix("/.well-known/openid-configuration")
        assert httpx.get(metadata).json()["authorization_servers"] == [issuer]

        async def call(client: Client, scope: str, tool: str, **arguments):
            auth = BearerAuth(token(project, client, scope))
            where = {"project_id": "demo-project", "dataset_id": "warehouse", "table_id": "stock"}
            async with McpClient(f"{project.server_url}/mcp", auth=auth) as mcp:
                return await mcp.call_tool(tool, where | arguments, raise_on_error=False)

        before = google.seen()
        read = asyncio.run(call(project.reader, READ, "bigquery_read", limit=10))
        assert not read.is_error and len(read.structured_content["rows"]) >= 3
        rows = [{"sku": "C-1", "warehouse": "Oslo", "quantity": 1}]
        wrote = asyncio.run(call(project.writer, WRITE, "bigquery_write", rows=rows))
        assert not wrote.is_error, wrote
        assert google.seen() != before
        # A workflow gets no scope that its client may not have, and a tool runs for none that lacks it.
        assert ask_token(project, project.reader, WRITE).status_code == 400
        refused = asyncio.run(call(project.reader, READ, "bigquery_write", rows=[]))
        assert refused.is_error
    assert httpx.get(f"{project.base}/v2/keys/{project.id}").is_success


def test_the_guide_for_those_who_come_from_descope_is_as_it_says(writ, project, tmp_path):
    tag = project.tag
    names = {
        "policies/": f"policies/guide-{tag}-",
        "http://localhost:8787/t/main": writ.issuer,
        "http://localhost:8787": writ.dev["origin"],
        "files.example.com": f"files-{tag}.example.com",
        '"id": "files"': f'"id": "files-{tag}"',
        "RSfiles": f"RSfiles-{tag}",
        "connections/calendar": f"connections/guide-{tag}",
        'Connection::\\"calendar': f'Connection::\\"guide-{tag}',
        '"calendar"': f'"guide-{tag}"',
    }
    with Shell(tmp_path, {"WRIT_STATE": str(writ.state)}) as shell:
        follow(shell, (GUIDES / "README.md").read_text(), names)
        follow(shell, (GUIDES / "coming-from-descope.md").read_text(), names)

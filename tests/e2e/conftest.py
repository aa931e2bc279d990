"""One Writ, one stand-in for Google and one MCP server for all tests.

With WRIT_SPLIT=1 Writ is four Workers side by side instead of one. With WRIT_DEV_JSON=PATH it is the one that runs
already, started with the same WRIT_DEV_OUTBOUND, five origins, and WRIT_DEV_WITH (examples/sandbox) that are set here.
"""

import json
import os
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx2 as httpx
import pytest
from connect import CONNECTIONS
from hub import EXAMPLE, READ, WRITE, Client, Google, Process, Writ, eventually, free_port
from person import Browser

SPLIT = os.environ.get("WRIT_SPLIT") == "1"
RUNNING = os.environ.get("WRIT_DEV_JSON")
# Its subject is the summary that scripts/dev prints, so it needs one that these tests started.
collect_ignore = ["test_dev.py"] if RUNNING else []


def pytest_collection_modifyitems(items):
    """The search for leaked secrets comes last: it looks through everything that the others caused."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")


@pytest.fixture(scope="session")
def outbound() -> list[str]:
    """Origins that Writ may call although they are on this machine: the tests' stand-in, the README's, two identity
    providers, and the services of examples/connections."""
    given = os.environ.get("WRIT_DEV_OUTBOUND", "")
    return given.split(",") if RUNNING else [f"http://127.0.0.1:{free_port()}" for _ in range(5)]


@pytest.fixture(scope="session")
def sandbox() -> str:
    """Where examples/sandbox listens, beside Writ."""
    given = os.environ.get("WRIT_DEV_WITH", "")
    return f"http://127.0.0.1:{given.rpartition('=')[2] if RUNNING else free_port()}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def writ(outbound, sandbox, folder, pytestconfig):
    if RUNNING:
        path = Path(RUNNING)
        with Writ(json.loads(path.read_text()), path.parent, None) as writ:
            yield writ
        return
    port, state, log = str(free_port()), folder / "writ", folder / "writ.log"
    command = ["scripts/dev", *(["--split"] if SPLIT else [])]
    environment = {
        "WRIT_PORT": port,
        "WRIT_STATE": str(state),
        "WRIT_DEV_OUTBOUND": ",".join(outbound),
        "WRIT_DEV_WITH": f"examples/sandbox={urlsplit(sandbox).port}",
    }
    with Process(command, log, env=environment) as process:
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\nStarting {' '.join(command)}: minutes if it must build first, progress in {log}", flush=True)
        file = state / "dev.json"
        dev = process.ready(lambda: file.exists() and json.loads(file.read_text()), within=1200)
        process.ready(lambda: httpx.get(f"{dev['origin']}/health").is_success, within=60)
        with Writ(dev, state, log) as writ:
            yield writ


@pytest.fixture(scope="session")
def google(outbound, folder):
    port = outbound[0].rsplit(":", 1)[1]
    command = [sys.executable, EXAMPLE / "google_standin.py", "--port", port, "--keys", folder / "keys"]
    with Process(command, folder / "standin.log") as process:
        google = Google(outbound[0])
        process.ready(google.seen, within=30)
        yield google


@pytest.fixture(autouse=True)
def _google_behaves(google):
    google.behave(mode="ok")


@pytest.fixture(scope="session")
def accounts(google, folder) -> dict[str, dict]:
    keys = {"bigquery-read": "reader.json", "bigquery-readwrite": "writer.json"}
    return {name: json.loads((folder / "keys" / key).read_text()) for name, key in keys.items()}


def hours(writ: Writ, first: int, last: int) -> str:
    """A Cedar set of the hours from `first` to `last`, counted from now, in the tenant's time zone."""
    zone = ZoneInfo(writ.admin("GET", "tenants/main", 200).json()["zone"])
    now = datetime.now(zone).hour
    return str([(now + h) % 24 for h in range(first, last + 1)])


def issue_policy(client: Client, resource: str, scope: str, allowed_hours: str) -> str:
    """This agent, from these addresses, between these hours, may have this scope."""
    return f"""
        permit(principal == Client::"{client.client_id}", action == Action::"issue", resource in Resource::"{resource}")
        when {{
          resource.name == "{scope}" &&
          context has ip && (context.ip.isLoopback() || context.ip.isInRange(ip("10.0.0.0/8"))) &&
          {allowed_hours}.contains(context.hour)
        }};
    """


def lease_policy(client: Client, connection: str, scope: str) -> str:
    return f"""
        permit(principal == Client::"{client.client_id}", action == Action::"lease", resource == Connection::"{connection}")
        when {{ context.scopes.contains("{scope}") }};
    """


@dataclass
class Shop:
    """What an administrator registered: an MCP server and its agents."""

    writ: Writ
    resource: str
    server: Client
    reader: Client
    writer: Client
    n8n: Client
    lessee: Client
    policies: dict[str, str]

    def token(self, client: Client, scope: str) -> str:
        return self.writ.token(client, self.resource, scope).raise_for_status().json()["access_token"]


@pytest.fixture(scope="session")
def shop(writ, accounts) -> Shop:
    resource = f"http://localhost:{free_port()}/mcp"
    scopes = [
        {"name": READ, "description": "Read rows of a table", "tool": "bigquery_read"},
        {"name": WRITE, "description": "Append rows to a table", "tool": "bigquery_write"},
    ]
    writ.admin("POST", "resources", 201, json={"resource": resource, "name": "BigQuery", "scopes": scopes})
    server = writ.register("e2e server", "resource_server", allowed_resources=[resource])
    agent = {"owner": "data@example.com", "tags": ["e2e"], "allowed_resources": [resource]}
    reader, writer = writ.register("e2e reader", **agent), writ.register("e2e writer", **agent)
    lessee = writ.register("e2e lessee", **agent)
    n8n = writ.register("e2e n8n", token_endpoint_auth_method="client_secret_post", **agent)

    tag = resource.rsplit(":", 1)[1].removesuffix("/mcp")
    open_hours = hours(writ, -1, 3)
    cedar = {"lessee-lease": f'permit(principal == Client::"{lessee.client_id}", action == Action::"lease", resource);'}
    for name, client, scope, connection in (
        ("reader", reader, READ, "bigquery-read"),
        ("writer", writer, WRITE, "bigquery-readwrite"),
        ("n8n", n8n, READ, "bigquery-read"),
        ("lessee", lessee, READ, None),
    ):
        cedar[f"{name}-issue"] = issue_policy(client, resource, scope, open_hours)
        if connection:
            cedar[f"{name}-lease"] = lease_policy(client, connection, scope)
    policies = {name: writ.policy(f"e2e-{tag}-{name}", text) for name, text in cedar.items()}
    for name, granted in CONNECTIONS.items():
        writ.connect(name, accounts[name], granted)

    shop = Shop(writ, resource, server, reader, writer, n8n, lessee, policies)
    # The rules are in force when an isolate has noticed them, on the token side and on the lease side.
    for client, scope, connection in ((reader, READ, "bigquery-read"), (writer, WRITE, "bigquery-readwrite")):
        eventually(lambda: writ.token(client, resource, scope).is_success)
        token = shop.token(client, scope)
        eventually(lambda: writ.lease(server, connection, token).is_success)
    return shop


@pytest.fixture(scope="session")
def dev_json(writ, shop, folder) -> Path:
    """The same as what scripts/dev writes, for this shop: what the example's programs read."""
    agents = [("e2e reader", shop.reader, READ), ("e2e writer", shop.writer, WRITE)]

    def credentials(client):
        return {"client_id": client.client_id, "client_secret": client.client_secret}

    path = folder / "dev.json"
    content = {
        "origin": writ.dev["origin"],
        "issuer": writ.issuer,
        "admin": writ.dev["admin"],
        "agents": [{"name": name, **credentials(client), "scope": scope} for name, client, scope in agents],
        "resources": [shop.resource],
        "resource_servers": [{"name": "e2e server", **credentials(shop.server), "resource": shop.resource}],
    }
    path.write_text(json.dumps(content))
    return path


# Per module, because the README's test starts a server of its own at the same place.
@pytest.fixture(scope="module")
def mcp_server(writ, shop, google, dev_json, folder):
    """The running MCP server: its URL."""
    command = [sys.executable, EXAMPLE / "server.py", "--dev", dev_json]
    with Process(command, folder / "mcp.log", env={"BIGQUERY_URL": google.origin}) as process:
        metadata = shop.resource.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
        process.ready(lambda: httpx.get(metadata).is_success, within=60)
        yield shop.resource


@pytest.fixture(scope="session")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture
def person(browser):
    """Somebody whose browser knows nothing yet."""
    with browser.person(os.urandom(4).hex()) as person:
        yield person


@pytest.fixture
def connection(writ, shop, accounts):
    """A fresh connection that nobody has leased from; the lessee may."""
    name = f"e2e-{os.urandom(4).hex()}"
    writ.connect(name, accounts["bigquery-read"], CONNECTIONS["bigquery-read"])
    yield name
    current = writ.admin("GET", f"connections/{name}")
    if current.is_success:
        writ.admin("DELETE", f"connections/{name}", headers={"If-Match": current.headers["etag"]})

"""One chain, every hop by the wire: a user of an outside issuer → agent A → agent B → MCP server → lease.

The user's identity provider says who they are. Agent A gets a token about them for agent B, agent B exchanges it for one
for the MCP server, and the MCP server leases with that one. Scope only shrinks on the way, so agent B's own resource has
the scopes that the MCP server will ask for.
"""

import hashlib
import os
from dataclasses import dataclass

import httpx2 as httpx
import jwt
import pytest
from hub import AT_HOME, READ, TABLE, WRITE, Client, denied, eventually, free_port, within_the_bound
from outsiders import IdentityProvider

pytestmark = pytest.mark.split

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def actors(token: str) -> list[str]:
    """Who acts, newest first."""
    found, act = [], claims(token).get("act")
    while act:
        found.append(act["sub"])
        act = act.get("act")
    return found


def digest(token: str) -> str:
    """A `jti` as events name it."""
    raw = hashlib.sha256(claims(token)["jti"].encode()).digest()
    return jwt.utils.base64url_encode(raw).decode()


@pytest.fixture(scope="module")
def provider(writ, outbound):
    """The user's identity provider, which Writ knows by its issuer alone: it finds the keys by itself."""
    with IdentityProvider(outbound[3]) as provider:
        body = {"issuer": provider.issuer, "name": "Staff", "uses": ["jwt_bearer"], "creates_users": True}
        issuer = writ.admin("POST", "issuers", 201, json=body).json()["id"]
        yield provider
        writ.admin("DELETE", f"issuers/{issuer}", 204)


@dataclass
class Cast:
    """Who takes part in a chain."""

    writ: object
    shop: object
    provider: IdentityProvider
    inbox: str
    a: Client
    b: Client
    subject: str

    def ask(self, client: Client, grant_type: str, resource: str, scope: str, **form):
        form |= {"grant_type": grant_type, "resource": resource, "scope": scope}
        url = f"{self.writ.issuer}/token"
        return self.writ.http.post(url, headers={"CF-Connecting-IP": AT_HOME}, **client.authenticate(form))

    def for_agent_b(self):
        """Agent A shows what the user's identity provider says, and asks for a token for agent B."""
        assertion = self.provider.token(self.subject, self.writ.issuer)
        return self.ask(self.a, JWT_BEARER, self.inbox, READ, assertion=assertion)

    def agent_b(self) -> str:
        """Agent B's own token."""
        return self.ask(self.b, "client_credentials", self.inbox, READ).raise_for_status().json()["access_token"]

    def for_the_server(self, subject_token: str, scope: str = READ, actor_token: str | None = None):
        """Agent B exchanges what agent A sent, and shows that it is agent B."""
        tokens = {"subject_token": subject_token, "actor_token": actor_token or self.agent_b()}
        types = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
        return self.ask(self.b, EXCHANGE, self.shop.resource, scope, **tokens, **types)


@pytest.fixture
def cast(writ, shop, provider) -> Cast:
    """Fresh agents and a fresh user, so that each test may stop whom it likes."""
    inbox = f"http://localhost:{free_port()}/agent-b"
    scopes = [{"name": name, "description": f"Have agent B do what takes {name}"} for name in (READ, WRITE)]
    writ.admin("POST", "resources", 201, json={"resource": inbox, "name": "Agent B", "scopes": scopes})
    a = writ.register("e2e agent A", "delegated", grant_types=[JWT_BEARER], allowed_resources=[inbox])
    b = writ.register(
        "e2e agent B",
        "delegated",
        grant_types=["client_credentials", EXCHANGE],
        allowed_resources=[inbox, shop.resource],
        serves=[inbox],
    )
    # Neither agent's policy keeps the writing scope from it: what stops them is that nobody asked for it at the start.
    of_a = f'context has subject && context.chain.contains("{a.client_id}")'
    for name, client, action, when in (
        ("a", a, "issue", "context has subject"),
        ("b", b, "issue", "true"),
        ("exchange", b, "exchange", of_a),
        ("lease", b, "lease", f'{of_a} && context.scopes.contains("{READ}")'),
    ):
        who = f'principal == Client::"{client.client_id}", action == Action::"{action}"'
        writ.policy(f"e2e-{b.client_id}-{name}", f"permit({who}, resource) when {{ {when} }};")
    cast = Cast(writ, shop, provider, inbox, a, b, f"user-{os.urandom(4).hex()}")
    # A run before this one may have left another key in Writ's memory, which is renewed after half a minute.
    eventually(lambda: cast.for_agent_b().is_success, within=40)
    return cast


def call_tool(server: str, token: str) -> dict:
    arguments = {"name": "bigquery_read", "arguments": {"table": TABLE}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
    answer = httpx.post(server, json=message, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_a_chain_from_a_user_to_a_lease_shows_every_hop_in_the_audit(cast, mcp_server, google):
    writ, shop, a, b = cast.writ, cast.shop, cast.a, cast.b
    first = cast.for_agent_b().raise_for_status().json()["access_token"]
    second = cast.for_the_server(first).raise_for_status().json()["access_token"]
    result = call_tool(mcp_server, second)
    assert result["structuredContent"]["rows"] == google.seen()["rows"]

    user = claims(first)["sub"]
    assert user.startswith("user_")
    assert claims(first)["client_id"] == a.client_id
    assert (claims(second)["sub"], claims(second)["client_id"]) == (user, b.client_id)
    assert actors(second)[0] == b.client_id and a.client_id in actors(second)
    assert claims(second)["exp"] <= claims(first)["exp"]

    asked = writ.event(type="token.issued", client=a.client_id, jti_hash=digest(first))
    exchanged = writ.event(type="token.issued", client=b.client_id, jti_hash=digest(second))
    leased = writ.event(type="lease.granted", client=b.client_id)
    hops = [asked, exchanged, leased]
    assert [hop["subject"] for hop in hops] == [user] * 3
    assert [hop["grant_type"] for hop in hops[:2]] == [JWT_BEARER, EXCHANGE]
    assert [hop["resource"] for hop in hops] == [cast.inbox, shop.resource, shop.resource]
    assert [hop["scope_given"] for hop in hops[:2]] == [READ, READ]
    assert [hop.get("chain", []) for hop in hops] == [actors(first), actors(second), actors(second)]
    assert (leased["connection"], leased["resource_server"]) == ("bigquery-read", shop.server.client_id)
    for hop, policy in zip(hops, ("a", "exchange", "lease"), strict=True):
        assert f"e2e-{b.client_id}-{policy}" in hop["policies"]
    assert len({hop["decision"] for hop in hops}) == 3
    # One hop leads to the next: what agent B got tells which token it was made from.
    assert digest(first) in claims(second)["lineage"]


def test_in_an_exchange_nothing_grows(cast):
    first = cast.for_agent_b().raise_for_status().json()["access_token"]
    both = cast.for_the_server(first, f"{READ} {WRITE}")
    assert both.is_success and both.json()["scope"] == READ
    more = cast.for_the_server(first, WRITE)
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")
    assert "access_token" not in more.json()


def test_agent_a_cannot_skip_agent_b(cast):
    first = cast.for_agent_b().raise_for_status().json()["access_token"]
    lease = cast.writ.lease(cast.shop.server, "bigquery-read", first)
    assert (lease.status_code, lease.json()["error"]) == (400, "invalid_request")
    straight = cast.ask(
        cast.a, JWT_BEARER, cast.shop.resource, READ, assertion=cast.provider.token(cast.subject, cast.writ.issuer)
    )
    assert (straight.status_code, straight.json()["error"]) == (400, "invalid_target")


@pytest.mark.parametrize("who", ["agent A", "agent B", "the user"])
def test_a_chain_ends_with_anyone_in_it(cast, who):
    first, own = cast.for_agent_b().raise_for_status().json()["access_token"], cast.agent_b()
    second = cast.for_the_server(first, actor_token=own).raise_for_status().json()["access_token"]
    assert cast.writ.lease(cast.shop.server, "bigquery-read", second).status_code == 200
    path = {
        "agent A": f"clients/{cast.a.client_id}/kill",
        "agent B": f"clients/{cast.b.client_id}/kill",
        "the user": f"users/{claims(second)['sub']}/kill",
    }[who]
    assert cast.writ.admin("POST", path, 200).json()["status"] == "retired"
    refused = within_the_bound(lambda: denied(cast.writ.lease(cast.shop.server, "bigquery-read", second)))
    assert refused.json()["error"] == "invalid_request"
    within_the_bound(lambda: denied(cast.for_the_server(first, actor_token=own)))

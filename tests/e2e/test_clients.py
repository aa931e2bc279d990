"""The clients that people use: the MCP SDKs of Python and TypeScript, and openid-client. Nothing here helps them along."""

import asyncio
import os

import httpx2 as httpx
import jwt
import pytest
from hub import READ, TABLE, Client, Writ, eventually
from mcp import Client as McpClient
from mcp.client.auth import OAuthTokenError
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.streamable_http import streamable_http_client
from outsiders import Key, javascript

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ALGORITHMS = ["ES256", "RS256", "PS256", "EdDSA"]
TOOL = {"tool": "bigquery_read", "arguments": {"table": TABLE}}


def claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture(scope="module")
def keys() -> dict[str, Key]:
    return {alg: Key(alg) for alg in ALGORITHMS}


class Agents(dict):
    """Agents that may read with the tools of an SDK, registered when they are first asked for: one for each way to
    authenticate, and `bound`, whose tokens are always bound to a key."""

    def __init__(self, writ, resource: str, keys: dict[str, Key]):
        self.writ, self.keys = writ, keys
        self.common = {"allowed_resources": [resource], "owner": "sdk@example.com", "tags": ["sdk"]}

    def __missing__(self, how: str) -> Client:
        if how in self.keys:
            more = {"token_endpoint_auth_method": "private_key_jwt", "jwks": self.keys[how].jwks}
        elif how == "bound":
            more = {"dpop_bound_access_tokens": True}
        else:
            more = {"token_endpoint_auth_method": how}
        self[how] = self.writ.register(f"e2e {how}", **more, **self.common)
        return self[how]


@pytest.fixture(scope="module")
def agents(writ, shop, keys) -> Agents:
    for action, on, only in (
        ("issue", f'resource in Resource::"{shop.resource}"', f'resource.name == "{READ}"'),
        ("lease", 'resource == Connection::"bigquery-read"', f'context.scopes.contains("{READ}")'),
    ):
        when = f'principal.tags.contains("sdk") && {only}'
        writ.policy(f"e2e-sdk-{action}", f'permit(principal, action == Action::"{action}", {on}) when {{ {when} }};')
    agents = Agents(writ, shop.resource, keys)
    eventually(lambda: writ.token(agents["client_secret_basic"], shop.resource, READ).is_success)
    return agents


class Memory:
    """The storage that the Python SDK asks for."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


def call_with_python_sdk(server: str, provider) -> dict:
    async def run():
        async with (
            httpx.AsyncClient(auth=provider, timeout=60) as http,
            McpClient(streamable_http_client(server, http_client=http)) as client,
        ):
            return await client.call_tool(TOOL["tool"], TOOL["arguments"])

    return asyncio.run(run()).structured_content


def signing_provider(writ, server: str, client: Client, key: Key) -> PrivateKeyJWTOAuthProvider:
    """As the SDK signs by itself: no `kid`, and the issuer as audience."""
    signer = SignedJWTParameters(
        issuer=client.client_id, subject=client.client_id, signing_key=key.pem, signing_algorithm=key.alg
    )
    assertions = signer.create_assertion_provider()
    return PrivateKeyJWTOAuthProvider(server, Memory(), client.client_id, assertions, READ, writ.issuer)


def assert_rows(answer: dict, google):
    rows = google.seen()["rows"]
    assert answer == {"total_rows": len(rows), "rows": rows}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_the_python_sdk_calls_a_tool_with_a_client_secret(writ, mcp_server, agents, google, method):
    agent = agents[method]
    provider = ClientCredentialsOAuthProvider(
        mcp_server, Memory(), agent.client_id, agent.client_secret, method, READ, writ.issuer
    )
    assert_rows(call_with_python_sdk(mcp_server, provider), google)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_python_sdk_calls_a_tool_with_a_private_key(writ, mcp_server, agents, keys, google, alg):
    assert_rows(call_with_python_sdk(mcp_server, signing_provider(writ, mcp_server, agents[alg], keys[alg])), google)
    event = writ.event(type="token.issued", client=agents[alg].client_id)
    assert (event["auth_method"], event["scope_given"]) == ("private_key_jwt", READ)


def test_the_python_sdk_gets_nothing_with_another_clients_key(writ, mcp_server, agents, keys):
    with pytest.raises(BaseExceptionGroup) as refused:
        call_with_python_sdk(mcp_server, signing_provider(writ, mcp_server, agents["RS256"], keys["PS256"]))
    assert refused.group_contains(OAuthTokenError, match="invalid_client")


@pytest.mark.parametrize("sdk", ["v1", "v2"])
def test_the_typescript_sdk_calls_a_tool_with_a_client_secret(writ, mcp_server, agents, google, sdk):
    agent = agents["client_secret_basic"]
    who = {"clientId": agent.client_id, "clientSecret": agent.client_secret, "scope": READ}
    answer = javascript("mcp.mjs", sdk=sdk, server=mcp_server, issuer=writ.issuer, **who, **TOOL)
    assert_rows(answer["result"]["structuredContent"], google)


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "EdDSA"])
@pytest.mark.parametrize("sdk", ["v1", "v2"])
def test_the_typescript_sdk_calls_a_tool_with_a_private_key(writ, mcp_server, agents, keys, google, sdk, alg):
    who = {"clientId": agents[alg].client_id, "privateKey": keys[alg].private, "algorithm": alg, "scope": READ}
    answer = javascript("mcp.mjs", sdk=sdk, server=mcp_server, issuer=writ.issuer, **who, **TOOL)
    assert_rows(answer["result"]["structuredContent"], google)


@pytest.mark.parametrize("sdk", ["v1", "v2"])
def test_the_typescript_sdk_gets_nothing_with_another_clients_key(writ, mcp_server, agents, keys, sdk):
    who = {"clientId": agents["RS256"].client_id, "privateKey": keys["PS256"].private, "algorithm": "PS256"}
    answer = javascript("mcp.mjs", sdk=sdk, server=mcp_server, issuer=writ.issuer, scope=READ, **who, **TOOL)
    assert "result" not in answer
    event = writ.event(type="token.refused", client=agents["RS256"].client_id)
    assert event["reason"] == "ClientAuthenticationFailed"


def test_the_typescript_sdk_gets_a_token_that_is_bound_to_its_key(writ, mcp_server, agents):
    agent = agents["bound"]
    who = {"clientId": agent.client_id, "clientSecret": agent.client_secret, "scope": READ}
    answer = javascript("mcp.mjs", sdk="v2", server=mcp_server, issuer=writ.issuer, dpop=True, **who)
    assert answer["tokens"]["token_type"] == "DPoP"
    assert claims(answer["tokens"]["access_token"])["cnf"]["jkt"]


class Openid:
    """openid-client as one client of an issuer."""

    def __init__(self, issuer: str, client: Client, key: Key | None = None, dpop: Key | None = None, **metadata):
        method = "private_key_jwt" if key else client.auth_method
        metadata |= {"client_id": client.client_id, "token_endpoint_auth_method": method}
        self.wanted = {"issuer": issuer, "metadata": metadata, "secret": client.client_secret}
        self.wanted |= {"key": key and key.private, "dpop": dpop and dpop.private}

    def answer(self, call: str, *arguments) -> dict:
        return javascript("openid-client.mjs", call=call, arguments=arguments, **self.wanted)

    def __call__(self, call: str, *arguments):
        answer = self.answer(call, *arguments)
        assert "result" in answer, answer
        return answer["result"]


def for_mcp(shop) -> dict:
    return {"resource": shop.resource, "scope": READ}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_openid_client_gets_a_token_with_a_client_secret(writ, shop, agents, method):
    answer = Openid(writ.issuer, agents[method])("clientCredentialsGrant", for_mcp(shop))
    assert answer["scope"] == READ
    assert claims(answer["access_token"])["sub"] == agents[method].client_id


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_openid_client_gets_a_token_with_a_private_key(writ, shop, agents, keys, alg):
    answer = Openid(writ.issuer, agents[alg], keys[alg])("clientCredentialsGrant", for_mcp(shop))
    assert claims(answer["access_token"])["sub"] == agents[alg].client_id


def test_openid_client_gets_a_token_that_is_bound_to_its_key(writ, shop, agents):
    dpop = Key()
    answer = Openid(writ.issuer, agents["bound"], dpop=dpop)("clientCredentialsGrant", for_mcp(shop))
    assert answer["token_type"] == "dpop"
    assert claims(answer["access_token"])["cnf"] == {"jkt": dpop.kid}


def test_without_a_proof_a_client_of_bound_tokens_gets_none(writ, shop, agents):
    answer = Openid(writ.issuer, agents["bound"]).answer("clientCredentialsGrant", for_mcp(shop))
    assert answer["error"]["error"] == "invalid_dpop_proof"


@pytest.fixture(scope="module")
def demanding(writ):
    """A tenant that wants a nonce of its own in every proof, with an agent for its admin API."""
    name = f"e2e-{os.urandom(4).hex()}"
    admin = writ.admin("POST", "tenants", 201, json={"id": name, "name": "Demanding"}).json()
    issuer = f"{writ.dev['origin']}/t/{name}"
    with Writ({"origin": writ.dev["origin"], "issuer": issuer, "admin": admin}, writ.state, None) as tenant:
        body = {"name": "Demanding", "zone": "UTC", "settings": {"dpop_nonce": True}}
        tenant.put(f"tenants/{name}", body)
        yield tenant


def test_openid_client_brings_the_nonce_that_a_tenant_asks_for(demanding):
    dpop, wanted = Key(), {"resource": f"{demanding.issuer}/admin", "scope": "admin:read"}
    client = Openid(demanding.issuer, demanding.administrator, dpop=dpop)

    def asked_for_a_nonce():
        answer = client.answer("clientCredentialsGrant", wanted)
        return answer if len([seen for seen in answer["seen"] if seen["path"].endswith("/token")]) == 2 else None

    answer = eventually(asked_for_a_nonce)
    refused, granted = answer["seen"][-2:]
    assert (refused["status"], refused["error"]) == (400, "use_dpop_nonce")
    assert granted["status"] == 200
    assert claims(answer["result"]["access_token"])["cnf"] == {"jkt": dpop.kid}


@pytest.fixture(scope="module")
def exchanger(writ, shop, agents) -> Client:
    """A client that receives tokens for the MCP server and may exchange them for narrower ones."""
    client = writ.register(
        "e2e exchanger",
        "delegated",
        grant_types=[EXCHANGE, "client_credentials"],
        allowed_resources=[shop.resource],
        serves=[shop.resource],
        tags=["sdk"],
    )
    writ.policy(
        "e2e-sdk-exchange",
        f'permit(principal == Client::"{client.client_id}", action == Action::"exchange", resource) '
        f'when {{ resource.name == "{READ}" }};',
    )
    return client


def exchange(writ, shop, exchanger: Client, subject_token: str, **more) -> dict:
    actor_token = writ.token(exchanger, shop.resource, READ).raise_for_status().json()["access_token"]
    tokens = {"subject_token": subject_token, "actor_token": actor_token}
    types = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
    client = Openid(writ.issuer, exchanger, **more)
    return client.answer("genericGrantRequest", EXCHANGE, {**tokens, **types, **for_mcp(shop)})


def test_openid_client_exchanges_a_token(writ, shop, agents, exchanger):
    agent = agents["client_secret_basic"]
    subject_token = shop.token(agent, READ)

    def granted():
        return exchange(writ, shop, exchanger, subject_token).get("result")

    answer = eventually(granted)
    assert answer["issued_token_type"] == ACCESS_TOKEN
    made = claims(answer["access_token"])
    assert (made["sub"], made["client_id"]) == (agent.client_id, exchanger.client_id)
    assert made["act"]["sub"] == exchanger.client_id
    assert made["exp"] <= claims(subject_token)["exp"]


def test_openid_client_exchanges_a_bound_token_only_with_its_key_and_it_stays_bound(writ, shop, agents, exchanger):
    dpop = Key()
    bound = Openid(writ.issuer, agents["bound"], dpop=dpop)("clientCredentialsGrant", for_mcp(shop))["access_token"]

    def granted():
        return exchange(writ, shop, exchanger, bound, dpop=dpop).get("result")

    answer = eventually(granted)
    assert answer["token_type"] == "dpop"
    assert claims(answer["access_token"])["cnf"] == {"jkt": dpop.kid}
    for wrong in (None, Key()):
        refused = exchange(writ, shop, exchanger, bound, dpop=wrong)["error"]
        assert (refused["status"], refused["error"]) == (400, "invalid_request")


def test_openid_client_introspects_as_json_and_as_a_signed_answer(writ, shop, agents):
    token = shop.token(agents["client_secret_basic"], READ)
    plain = Openid(writ.issuer, shop.server)("tokenIntrospection", token)
    assert plain["active"] is True
    assert (plain["client_id"], plain["aud"]) == (agents["client_secret_basic"].client_id, shop.resource)
    signed = Openid(writ.issuer, shop.server, introspection_signed_response_alg="ES256")("tokenIntrospection", token)
    assert signed == plain


def test_introspection_tells_a_client_outside_the_audience_nothing(writ, shop, agents):
    token = shop.token(agents["client_secret_basic"], READ)
    answer = Openid(writ.issuer, agents["client_secret_post"]).answer("tokenIntrospection", token)
    assert answer["result"] == {"active": False}
    assert [(seen["status"], seen.get("error")) for seen in answer["seen"]][-1] == (200, None)


def test_openid_client_revokes_its_own_token(writ, shop, agents):
    agent = agents["client_secret_basic"]
    token, other = shop.token(agent, READ), shop.token(agent, READ)
    server = Openid(writ.issuer, shop.server)
    assert server("tokenIntrospection", token)["active"] is True
    assert Openid(writ.issuer, agent)("tokenRevocation", token) is None
    eventually(lambda: server("tokenIntrospection", token) == {"active": False})
    assert server("tokenIntrospection", other)["active"] is True

"""Tokens: what they are, and who gets none."""

import time

import jwt
import pytest
from conftest import hours, issue_policy
from hub import AT_HOME, ELSEWHERE, READ, WRITE, within_the_bound
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from mcp.shared.auth import OAuthMetadata


@pytest.fixture(params=["reader", "writer"])
def agent(request, shop):
    """An agent and its scope."""
    return getattr(shop, request.param), {"reader": READ, "writer": WRITE}[request.param]


def assert_refused(answer):
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope"), answer.text
    assert "access_token" not in answer.json()


def test_from_a_wrong_address_no_agent_gets_a_token(writ, shop, agent):
    client, scope = agent
    assert writ.token(client, shop.resource, scope, address=AT_HOME).status_code == 200
    assert_refused(writ.token(client, shop.resource, scope, address=ELSEWHERE))
    assert_refused(writ.token(client, shop.resource, scope, address="2001:db8::1"))
    assert writ.token(client, shop.resource, scope, address=AT_HOME).status_code == 200


@pytest.mark.parametrize("scope", [READ, WRITE])
def test_at_a_wrong_hour_no_agent_gets_a_token(writ, shop, scope):
    client = writ.register(f"e2e night shift {scope}", allowed_resources=[shop.resource])
    name = f"e2e-{client.client_id}"
    writ.policy(name, issue_policy(client, shop.resource, scope, hours(writ, 6, 12)))
    assert_refused(writ.token(client, shop.resource, scope))
    # The hour alone made the difference.
    writ.policy(name, issue_policy(client, shop.resource, scope, hours(writ, -1, 3)))
    within_the_bound(lambda: writ.token(client, shop.resource, scope).status_code == 200)
    # And a change for the worse bites just as soon.
    writ.policy(name, issue_policy(client, shop.resource, scope, hours(writ, 6, 12)))
    within_the_bound(lambda: writ.token(client, shop.resource, scope).status_code == 400)


def test_without_a_policy_no_agent_gets_a_token(writ, shop):
    client = writ.register("e2e nobody", allowed_resources=[shop.resource])
    assert_refused(writ.token(client, shop.resource, READ))


def test_a_wrong_secret_gets_401_and_a_basic_challenge(writ, shop):
    wrong = type(shop.reader)(shop.reader.client_id, shop.reader.client_secret[:-1] + "~")
    answer = writ.token(wrong, shop.resource, READ)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


def test_an_unknown_resource_gets_invalid_target(writ, shop):
    answer = writ.token(shop.reader, "http://localhost:1/mcp", READ)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")


def test_two_other_libraries_verify_the_access_token(writ, shop):
    answer = writ.token(shop.reader, shop.resource, READ)
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["access_token"]
    jwks = writ.http.get(f"{writ.issuer}/jwks.json").json()

    verified = joserfc_jwt.decode(token, KeySet.import_key_set(jwks), algorithms=["ES256"])
    assert verified.header["typ"] == "at+jwt"
    claims = verified.claims
    now = time.time()
    assert claims["iss"] == writ.issuer
    assert claims["aud"] == shop.resource
    assert claims["sub"] == claims["client_id"] == shop.reader.client_id
    assert claims["scope"] == READ
    assert claims["jti"]
    assert claims["iat"] <= now + 5 and 0 < claims["exp"] - claims["iat"] == answer.json()["expires_in"] <= 300

    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, ["ES256"], audience=shop.resource, issuer=writ.issuer) == claims


def test_the_metadata_leads_to_the_token_endpoint(writ):
    origin, path = writ.dev["origin"], "/t/main"
    documents = [
        writ.http.get(f"{origin}{url}").raise_for_status().json()
        for name in ("oauth-authorization-server", "openid-configuration")
        for url in (f"/.well-known/{name}{path}", f"{path}/.well-known/{name}")
    ]
    assert all(document == documents[0] for document in documents)
    assert documents[0]["issuer"] == writ.issuer
    assert documents[0]["token_endpoint"] == f"{writ.issuer}/token"
    assert documents[0]["jwks_uri"] == f"{writ.issuer}/jwks.json"


def test_the_mcp_sdk_accepts_the_metadata(writ):
    document = writ.http.get(f"{writ.dev['origin']}/.well-known/oauth-authorization-server/t/main").json()
    metadata = OAuthMetadata.model_validate(document)
    assert str(metadata.issuer) == writ.issuer
    assert "client_credentials" in metadata.grant_types_supported
    assert "client_secret_basic" in metadata.token_endpoint_auth_methods_supported

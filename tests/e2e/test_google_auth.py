"""Google's own library federates with Writ as it does with Google: `identity_pool`, unmodified, with no client authentication."""

from contextlib import suppress

import jwt
from google.auth import identity_pool
from google.auth.exceptions import RefreshError
from google.auth.transport._http_client import Request
from hub import READ, eventually, free_port
from outsiders import Key

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"


def test_identity_pool_exchanges_the_token_of_its_platform(writ, tmp_path):
    key, issuer, resource = Key(), f"http://localhost:{free_port()}", f"http://localhost:{free_port()}/mcp"
    scopes = [{"name": READ, "description": "Read rows of a table"}]
    writ.admin("POST", "resources", 201, json={"resource": resource, "name": "Warehouse", "scopes": scopes})
    body = {"issuer": issuer, "name": "Cluster", "preset": "oidc", "uses": ["workload"], "jwks": key.jwks}
    writ.admin("POST", "issuers", 201, json=body)
    agent = writ.register(
        "federated", token_endpoint_auth_method="federated_jwt", grant_types=[EXCHANGE], allowed_resources=[resource],
        workload_identities=[{"issuer": issuer, "rules": [{"claim": "sub", "equals": "agents/reader"}]}],
    )  # fmt: skip
    writ.policy(
        "federated",
        f'permit(principal == Client::"{agent.client_id}", action == Action::"issue", resource in Resource::"{resource}");',
    )
    file = tmp_path / "token"
    configuration = {
        "type": "external_account",
        "audience": resource,
        "subject_token_type": JWT,
        "token_url": f"{writ.issuer}/token",
        "credential_source": {"file": str(file)},
    }

    def refreshed():
        file.write_text(key.sign({"iss": issuer, "sub": "agents/reader", "aud": writ.issuer}))
        credentials = identity_pool.Credentials.from_info(configuration, scopes=[READ])
        # Until the freshness bound has passed, the policy may not be known everywhere.
        with suppress(RefreshError):
            credentials.refresh(Request())
        return credentials.token

    claims = jwt.decode(eventually(refreshed), options={"verify_signature": False})
    assert (claims["sub"], claims["client_id"]) == (agent.client_id, agent.client_id)
    assert (claims["aud"], claims["scope"]) == (resource, READ)

"""The stand-in for Google is strict: a journey that passes with it has really been verified."""

import time

import httpx2 as httpx
import jwt
import pytest
from google_standin import AUTH, JWT_BEARER, new_service_account

READONLY = f"{AUTH}bigquery.readonly"
TABLE = "bigquery/v2/projects/demo-project/datasets/warehouse/tables/stock"


@pytest.fixture
def account(google):
    account = new_service_account("strict", f"{google.origin}/token")
    google.behave(account=account)
    return account


def assertion(account, algorithm="RS256", key=None, kid=None, **changes) -> str:
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "aud": account["token_uri"],
        "scope": READONLY,
        "iat": now,
        "exp": now + 3600,
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, key or account["private_key"], algorithm, {"kid": kid or account["private_key_id"]})


def exchange(google, token: str, **changes):
    return httpx.post(f"{google.origin}/token", data={"grant_type": JWT_BEARER, "assertion": token} | changes)


def access_token(google, account, scope: str) -> str:
    return exchange(google, assertion(account, scope=scope)).raise_for_status().json()["access_token"]


def test_a_right_assertion_gets_a_token(google, account):
    answer = exchange(google, assertion(account))
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "expires_in", "token_type"}


@pytest.mark.parametrize(
    "change, error, description",
    [
        ({"key": new_service_account("other", "x")["private_key"]}, "invalid_grant", "Invalid JWT Signature."),
        ({"kid": "another"}, "invalid_grant", "Invalid JWT Signature."),
        ({"algorithm": "HS256", "key": "k" * 32}, "invalid_grant", "Invalid JWT Signature."),
        ({"iss": "nobody@example.com"}, "invalid_grant", "account not found"),
        ({"aud": "https://oauth2.googleapis.com/token"}, "invalid_grant", "audience"),
        ({"exp": int(time.time()) + 7200}, "invalid_grant", "short-lived"),
        ({"iat": int(time.time()) - 9000, "exp": int(time.time()) - 8000}, "invalid_grant", "short-lived"),
        ({"exp": None}, "invalid_grant", "short-lived"),
        ({"iat": None}, "invalid_grant", "short-lived"),
        ({"scope": None}, "invalid_scope", "Empty or missing scope"),
        ({"scope": "openid"}, "invalid_scope", "Invalid OAuth scope"),
    ],
)
def test_a_wrong_assertion_is_refused_in_googles_words(google, account, change, error, description):
    answer = exchange(google, assertion(account, **change))
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert description in answer.json()["error_description"]
    assert google.seen()["exchanges"] == 0


def test_a_wrong_form_is_refused(google, account):
    assert exchange(google, "no jwt").json()["error"] == "invalid_grant"
    assert exchange(google, assertion(account), grant_type="password").json()["error"] == "unsupported_grant_type"
    assert httpx.post(f"{google.origin}/token", json={"assertion": assertion(account)}).status_code == 400


@pytest.mark.parametrize(
    "scope, reads, writes", [("bigquery.readonly", 200, 403), ("bigquery", 200, 200), ("bigquery.insertdata", 403, 200)]
)
def test_a_token_does_what_its_scope_says(google, account, scope, reads, writes):
    bearer = {"Authorization": f"Bearer {access_token(google, account, AUTH + scope)}"}
    assert httpx.get(f"{google.origin}/{TABLE}/data", headers=bearer).status_code == reads
    assert httpx.post(f"{google.origin}/{TABLE}/insertAll", headers=bearer, json={"rows": []}).status_code == writes


def test_an_unknown_or_expired_token_gets_401(google, account):
    google.behave(account=account, lifetime=0)
    expired = access_token(google, account, READONLY)
    for token in (expired, "ya29.c.invented"):
        answer = httpx.get(f"{google.origin}/{TABLE}/data", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_rows_with_unknown_columns_are_refused(google, account):
    bearer = {"Authorization": f"Bearer {access_token(google, account, AUTH + 'bigquery')}"}
    before = google.seen()["rows"]
    answer = httpx.post(
        f"{google.origin}/{TABLE}/insertAll", headers=bearer, json={"rows": [{"json": {"color": "red"}}]}
    )
    assert answer.json()["insertErrors"][0]["errors"][0]["reason"] == "invalid"
    assert google.seen()["rows"] == before

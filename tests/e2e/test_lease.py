"""Leases: who gets one, how often Google is asked, and what a broken provider does not break."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from connect import CONNECTIONS
from google_standin import new_service_account
from hub import AT_HOME, READ, Client, denied, eventually, within_the_bound


@pytest.fixture
def subject_token(shop) -> str:
    return shop.token(shop.lessee, READ)


def error(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


@pytest.mark.split
def test_a_lease_is_a_short_lived_token_with_its_expiry(writ, shop, connection, subject_token):
    answer = writ.lease(shop.server, connection, subject_token, tool="bigquery_read")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    lease = answer.json()
    assert lease["access_token"].startswith("ya29.")
    assert lease["token_type"] == "Bearer"
    assert 0 < lease["expires_in"] <= 3600
    assert abs(lease["expires_at"] - time.time() - lease["expires_in"]) < 10
    assert lease["scope"] == CONNECTIONS["bigquery-read"][0]


def test_a_token_exchange_for_a_connection_is_a_lease(writ, shop, connection, subject_token):
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    access_token = "urn:ietf:params:oauth:token-type:access_token"
    server = writ.register(
        "exchanging server", "resource_server", allowed_resources=[shop.resource], grant_types=[exchange]
    )
    form = {
        "grant_type": exchange,
        "subject_token": subject_token,
        "subject_token_type": access_token,
        "resource": f"{writ.issuer}/connections/{connection}",
    }
    answer = writ.http.post(f"{writ.issuer}/token", headers={"CF-Connecting-IP": AT_HOME}, **server.authenticate(form))
    assert answer.status_code == 200, answer.text
    token = answer.json()
    assert token["access_token"].startswith("ya29.")
    assert (token["issued_token_type"], token["token_type"]) == (access_token, "Bearer")
    leased = writ.event(client=shop.lessee.client_id, type="lease.granted", resource_server=server.client_id)
    assert leased["connection"] == connection


def test_the_read_agents_token_leases_nothing_from_the_readwrite_connection(writ, shop, google):
    before = google.seen()["requests"]
    answer = writ.lease(shop.server, "bigquery-readwrite", shop.token(shop.reader, READ), tool="bigquery_write")
    assert error(answer) == (403, "access_denied")
    assert answer.json()["decision"]
    assert google.seen()["requests"] == before


def test_an_unknown_connection_looks_like_a_forbidden_one(writ, shop):
    token = shop.token(shop.reader, READ)
    forbidden = writ.lease(shop.server, "bigquery-readwrite", token)
    unknown = writ.lease(shop.server, "no-such-connection", token)
    assert error(unknown) == error(forbidden)
    assert unknown.json().keys() == forbidden.json().keys()


def test_an_agent_cannot_lease_with_its_own_credentials(writ, shop, connection, subject_token):
    assert error(writ.lease(shop.lessee, connection, subject_token)) == (403, "unauthorized_client")


def test_a_lease_needs_the_resource_servers_secret(writ, shop, connection, subject_token):
    impostor = Client(shop.server.client_id, shop.server.client_secret[:-1] + "~")
    assert error(writ.lease(impostor, connection, subject_token)) == (401, "invalid_client")


def test_only_a_token_for_this_resource_server_is_a_subject_token(writ, shop, connection, subject_token):
    other = writ.token(writ.administrator, f"{writ.issuer}/admin", "admin").json()["access_token"]
    head, claims, signature = subject_token.split(".")
    for wrong in (other, "nonsense", f"{head}.{claims}.{signature[::-1]}", f"{head}.{claims}."):
        assert error(writ.lease(shop.server, connection, wrong)) == (400, "invalid_request")


def test_a_scope_that_the_connection_does_not_offer_is_refused(writ, shop, connection, subject_token):
    answer = writ.lease(shop.server, connection, subject_token, scope="https://www.googleapis.com/auth/bigquery")
    assert error(answer) == (400, "invalid_scope")


@pytest.mark.split
def test_twenty_leases_at_once_ask_google_once_and_make_twenty_events(writ, shop, google, connection, subject_token):
    google.behave(delay=0.5)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: writ.lease(shop.server, connection, subject_token), range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert google.seen()["exchanges"] == 1

    def events():
        found = writ.events(client_id=shop.lessee.client_id, type="lease.granted")
        return [event for event in found if event["connection"] == connection]

    eventually(lambda: len(events()) >= 20)
    assert len({event["id"] for event in events()}) == 20


def test_a_downstream_token_that_is_about_to_expire_is_not_handed_out_again(
    writ, shop, google, connection, subject_token
):
    google.behave(lifetime=100)
    tokens = {writ.lease(shop.server, connection, subject_token).json()["access_token"] for _ in range(2)}
    assert len(tokens) == google.seen()["exchanges"] == 2


@pytest.mark.parametrize(
    "behaviour, expected",
    [
        ({"delay": 60}, (504, "temporarily_unavailable")),
        ({"mode": "redirect"}, (502, "temporarily_unavailable")),
        ({"mode": "html"}, (502, "temporarily_unavailable")),
        ({"mode": "huge"}, (502, "temporarily_unavailable")),
        ({"mode": "nonsense"}, (502, "temporarily_unavailable")),
        ({"mode": "error"}, (502, "temporarily_unavailable")),
    ],
    ids=["slow", "redirect", "html", "30 MB", "nonsense", "500"],
)
def test_a_broken_provider_is_reported_without_its_words(
    writ, shop, google, connection, subject_token, behaviour, expected
):
    google.behave(**behaviour)
    started = time.monotonic()
    answer = writ.lease(shop.server, connection, subject_token)
    assert error(answer) == expected, answer.text
    assert time.monotonic() - started < 40
    assert "standin-marker" not in answer.text
    assert len(answer.content) < 1000
    # Nothing of it sticks: when the provider is well again, so is the connection.
    google.behave(mode="ok")
    eventually(lambda: writ.lease(shop.server, connection, subject_token).status_code == 200)


def test_a_key_that_google_does_not_know_is_reported_as_refused(writ, shop, accounts, connection, subject_token):
    stranger = new_service_account("stranger", accounts["bigquery-read"]["token_uri"])
    writ.connect(connection, stranger, CONNECTIONS["bigquery-read"])
    answer = eventually(lambda: refused_by_provider(writ.lease(shop.server, connection, subject_token)))
    assert "account not found" not in answer.text


def refused_by_provider(answer):
    return answer if error(answer) == (502, "access_denied") else None


@pytest.mark.split
def test_a_new_key_takes_the_place_of_the_old_one(writ, shop, google, accounts, connection, subject_token):
    first = writ.lease(shop.server, connection, subject_token).json()["access_token"]
    fresh = new_service_account("fresh", accounts["bigquery-read"]["token_uri"])
    google.behave(account=fresh)
    writ.connect(connection, fresh, CONNECTIONS["bigquery-read"])
    eventually(lambda: writ.lease(shop.server, connection, subject_token).json()["access_token"] != first)
    assert google.seen()["last_assertion"]["claims"]["iss"] == fresh["client_email"]


def test_a_deleted_connection_leases_nothing(writ, shop, google, connection, subject_token):
    assert writ.lease(shop.server, connection, subject_token).status_code == 200
    etag = writ.admin("GET", f"connections/{connection}", 200).headers["etag"]
    assert writ.admin("DELETE", f"connections/{connection}", headers={"If-Match": etag}).is_success
    assert writ.admin("GET", f"connections/{connection}").status_code == 404
    answer = within_the_bound(lambda: denied(writ.lease(shop.server, connection, subject_token)))
    assert error(answer) == (403, "access_denied")

"""The audit tells the whole story: who, from where, for what, by which policy."""

import pytest
from hub import AT_HOME, ELSEWHERE, READ, WRITE

pytestmark = pytest.mark.split


def policy_of(shop, name: str) -> str:
    return shop.policies[name]


def assert_decided_by(event, *policies: str):
    assert event["policies"] == sorted(policies)
    assert event["decision"]
    assert event["policy_version"]


def assert_common(event, shop, client):
    assert event["tenant"] == "main"
    assert event["client"] == client.client_id
    assert event["request_id"] and event["id"] and event["at"]
    assert event["resource"] == shop.resource


def test_an_issued_token_is_recorded(writ, shop):
    writ.token(shop.reader, shop.resource, f"{READ} {WRITE}", address="10.7.7.7").raise_for_status()
    event = writ.event(type="token.issued", client=shop.reader.client_id, ip="10.7.7.7")
    assert_common(event, shop, shop.reader)
    assert event["subject"] == shop.reader.client_id
    assert event["grant_type"] == "client_credentials"
    assert event["auth_method"] == "client_secret_basic"
    assert event["scope_asked"].split() == [READ, WRITE]
    assert event["scope_given"] == READ
    assert event["expires_at"] > event["at"]
    assert_decided_by(event, policy_of(shop, "reader-issue"))


def test_a_refused_token_is_recorded_with_the_address(writ, shop):
    answer = writ.token(shop.writer, shop.resource, WRITE, address=ELSEWHERE)
    assert answer.status_code == 400
    event = writ.event(type="token.refused", client=shop.writer.client_id, ip=ELSEWHERE)
    assert_common(event, shop, shop.writer)
    assert event["scope_asked"] == WRITE
    assert "scope_given" not in event
    assert event["reason"] == "PolicyDenied"
    assert event["decision"] == answer.json()["decision"]


def test_a_granted_lease_is_recorded_with_connection_tool_and_resource_server(writ, shop):
    token = shop.token(shop.writer, WRITE)
    assert writ.lease(shop.server, "bigquery-readwrite", token, tool="audited_tool").status_code == 200
    event = writ.event(type="lease.granted", client=shop.writer.client_id, tool="audited_tool")
    assert_common(event, shop, shop.writer)
    assert event["subject"] == shop.writer.client_id
    assert event["connection"] == "bigquery-readwrite"
    assert event["resource_server"] == shop.server.client_id
    assert event["scope_given"] == "https://www.googleapis.com/auth/bigquery"
    assert event["ip"] == AT_HOME
    assert_decided_by(event, policy_of(shop, "writer-lease"))


def test_a_refused_lease_is_recorded_under_the_decision_that_the_answer_names(writ, shop):
    answer = writ.lease(shop.server, "bigquery-readwrite", shop.token(shop.reader, READ), tool="escalation")
    event = writ.event(type="lease.refused", client=shop.reader.client_id, tool="escalation")
    assert_common(event, shop, shop.reader)
    assert event["decision"] == answer.json()["decision"]
    assert event["connection"] == "bigquery-readwrite"
    assert event["reason"] == "LeaseDenied"
    assert event.get("policies", []) == []


def test_a_providers_failure_is_recorded(writ, shop, google, connection):
    google.behave(mode="html")
    token = shop.token(shop.lessee, READ)
    assert writ.lease(shop.server, connection, token).status_code == 502
    event = writ.event(type="lease.refused", client=shop.lessee.client_id, connection=connection)
    assert event["reason"] == "ProviderFailed"
    assert "standin-marker" not in str(event)


def test_what_the_administrator_did_is_recorded(writ, shop, connection):
    admin = writ.administrator.client_id
    assert writ.event(type="connection.put", client=admin, target=connection)
    for kind, target in (
        ("client.created", shop.reader.client_id),
        ("policy.put", shop.policies["reader-issue"]),
    ):
        assert writ.event(type=kind, client=admin, target=target)


def test_events_are_pages_of_newest_first(writ, shop):
    first = writ.admin("GET", "events", 200, params={"limit": 3}).json()
    assert len(first["items"]) == 3
    second = writ.admin("GET", "events", 200, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    ids = [event["id"] for event in first["items"] + second["items"]]
    assert ids == sorted(set(ids), reverse=True)

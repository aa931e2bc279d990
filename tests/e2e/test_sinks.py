"""The trail is sent to where a tenant wants it: stand-ins check each request as the real services do."""

import json
import os

import httpx2 as httpx
import pytest
from hub import eventually
from siems import ACCESS_KEY, API_KEY, BUCKET, INDEX, REGION, SECRET_KEY, TOKEN, Siems

pytestmark = pytest.mark.split


@pytest.fixture
def siems(outbound):
    with Siems(outbound[3]) as siems:
        yield siems


@pytest.fixture
def sink(writ, siems):
    """Makes sinks, and removes them."""
    made = []

    def make(**body) -> dict:
        answer = writ.admin("POST", "sinks", 201, json={"url": siems.origin, **body}).json()
        made.append(answer["id"])
        return answer

    yield make
    for name in made:
        writ.admin("DELETE", f"sinks/{name}", 204)


def happen(writ) -> str:
    """Something happens that is an event: the id of the record."""
    return writ.register(f"sink-{os.urandom(4).hex()}").client_id


def test_splunk_takes_it_with_its_token_and_in_its_form(writ, siems, sink):
    sink(kind="splunk", secret={"token": TOKEN}, config={"index": "audit", "sourcetype": "writ:event"})
    client = happen(writ)
    entry = eventually(lambda: next((e for e in siems.splunk if e["event"].get("target") == client), None))
    assert (entry["host"], entry["index"], entry["event"]["type"]) == ("main", "audit", "client.created")
    sequence = [entry["event"]["seq"] for entry in siems.splunk]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_a_token_that_is_put_right_loses_nothing(writ, siems, sink):
    made = sink(kind="splunk", secret={"token": "wrong"})
    client = happen(writ)
    path = f"sinks/{made['id']}"
    state = eventually(lambda: (s := writ.admin("GET", f"{path}/state", 200).json())["state"] == "failing" and s)
    assert state["outcome"] == "it answered 403, code 4"
    assert not siems.splunk
    assert writ.admin("POST", f"{path}/test", 200).json() == {"taken": False, "outcome": "it answered 403, code 4"}
    shown = writ.admin("GET", path, 200)
    body = {key: shown.json()[key] for key in ("kind", "url")} | {"secret": {"token": TOKEN}}
    writ.admin("PUT", path, 200, json=body, headers={"If-Match": shown.headers["etag"]})
    eventually(lambda: any(e["event"].get("target") == client for e in siems.splunk))
    assert writ.admin("POST", f"{path}/test", 200).json() == {"taken": True}


def test_datadog_takes_it_with_its_key(writ, siems, sink):
    sink(kind="datadog", secret={"api_key": API_KEY}, config={"tags": "env:e2e"})
    client = happen(writ)
    log = eventually(lambda: next((log for log in siems.datadog if log["writ"].get("target") == client), None))
    assert (log["ddsource"], log["message"]) == ("writ", "client.created")
    assert log["ddtags"] == "env:e2e,tenant:main,type:client.created"


def test_an_otlp_receiver_takes_it_as_log_records(writ, siems, sink):
    sink(kind="otlp", secret={"value": API_KEY}, config={"header": "x-otlp-key"})
    happen(writ)
    record = eventually(lambda: next((r for r in siems.otlp if r["eventName"] == "client.created"), None))
    assert any(pair["key"] == "writ.seq" for pair in record["attributes"])


def test_elasticsearch_takes_it_once_though_it_is_sent_again(writ, siems, sink):
    made = sink(kind="elastic", secret={"api_key": API_KEY}, config={"index": INDEX}, form="ocsf")
    client = happen(writ)

    def find():
        return next((d for d in siems.elastic.values() if d.get("entity", {}).get("uid") == client), None)

    document = eventually(find)
    assert (document["class_uid"], document["metadata"]["version"]) == (3004, "1.9.0")
    count = len(siems.elastic)
    writ.admin("POST", f"sinks/{made['id']}/replay", 204, json={"from": document["metadata"]["sequence"]})
    eventually(lambda: writ.admin("GET", f"sinks/{made['id']}/state", 200).json()["taken"] > count)
    state = eventually(lambda: (s := writ.admin("GET", f"sinks/{made['id']}/state", 200).json())["state"] == "current" and s)
    assert state["missed"] == 0


def test_s3_takes_objects_that_botocore_would_have_signed(writ, siems, sink):
    config = {"bucket": BUCKET, "region": REGION, "prefix": "writ/audit"}
    sink(kind="s3", config=config, secret={"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY})
    client = happen(writ)
    key, _ = eventually(lambda: next(((k, o) for k, o in siems.objects.items() if any(e.get("target") == client for e in o)), None))
    assert key.startswith(f"/{BUCKET}/writ/audit/main/20") and key.endswith(".jsonl")


def test_an_endpoint_of_ones_own_verifies_it_with_the_published_library(writ, siems, sink):
    made = sink(kind="https", url=f"{siems.origin}/https", enabled=False)
    siems.signing = made["signing_secret"]
    shown = writ.admin("GET", f"sinks/{made['id']}", 200)
    body = shown.json() | {"enabled": True}
    writ.admin("PUT", f"sinks/{made['id']}", 200, json=body, headers={"If-Match": shown.headers["etag"]})
    client = happen(writ)
    event = eventually(lambda: next((e for e in siems.https if e.get("target") == client), None))
    shown = eventually(lambda: writ.events(target=client, type="client.created"))[0]
    assert {name: event[name] for name in ("id", "at", "type", "client")} == {name: shown[name] for name in ("id", "at", "type", "client")}


def test_the_trail_is_followed_exported_and_counted(writ):
    client = happen(writ)
    eventually(lambda: writ.events(target=client))
    lines = writ.admin("GET", "events/export", 200, params={"target": client}).text.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["client.created"]
    text = writ.admin("GET", "events/export", 200, params={"target": client, "format": "csv"}).text
    assert text.startswith("id,at,type,") and text.count("\r\n") == 2
    headers = {"Authorization": f"Bearer {writ.admin_token}"}
    with httpx.stream("GET", f"{writ.issuer}/admin/events/live", headers=headers, timeout=60) as live:
        assert live.headers["content-type"] == "text/event-stream"
        client = happen(writ)
        for line in live.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:]).get("target") == client:
                break
    counts = writ.admin("GET", "events/summary", 200, params={"by": "type"}).json()
    assert sum(item["count"] for item in counts["items"] if item.get("type") == "client.created") > 0

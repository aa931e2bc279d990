"""AWS through the proxy: the caller has no key, each call is signed with a session of its own, and botocore finds the same signature."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import boto3
import pytest
from aws import REGION, ROLE, TRAILER, Aws
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from hub import eventually
from test_proxy import Caller

ALLOWED = {
    "s3": [
        {"methods": ["GET", "PUT"], "path": "/reports/**"},
        {"methods": ["GET"], "path": "/reports", "query": ["list-type", "prefix", "encoding-type", "x-id"]},
    ],
    "dynamodb": [{"methods": ["POST"], "path": "/"}],
    "bedrock": [{"methods": ["POST"], "path": "/model/*/invoke"}],
}


@pytest.fixture(scope="module")
def aws(writ, outbound):
    with Aws(outbound[1], writ.issuer) as aws:
        yield aws


@pytest.fixture(scope="module")
def callers(writ, aws) -> Iterator[dict[str, Caller]]:
    """Two agents, each with a connection to a service of AWS."""
    callers = {}
    for service, allow in ALLOWED.items():
        name = f"e2e-aws-{service}"
        config = {
            "role_arn": ROLE,
            "region": REGION,
            "sts_url": f"{aws.origin}/sts",
            "base_url": aws.origin,
            "service": service,
            "allow": allow,
        }
        writ.put(f"connections/{name}", {"kind": "aws", "config": config})
        client = writ.register(f"e2e {name}", allowed_resources=[f"{writ.issuer}/connections"])
        may = f'permit(principal == Client::"{client.client_id}", action == Action::"lease", resource == Connection::"{name}");'
        writ.policy(f"{name}-lease", may)
        callers[service] = Caller(writ, client, name)
    probes = {"s3": ("GET", "/reports/none"), "dynamodb": ("POST", "/"), "bedrock": ("POST", "/model/x/invoke")}
    for service, caller in callers.items():
        method, path = probes[service]
        eventually(lambda c=caller, m=method, p=path: c.http.request(m, f"{c.url}{p}").status_code not in (401, 403))
    yield callers
    for caller in callers.values():
        caller.http.close()


@contextmanager
def sdk(caller: Caller, service: str):
    """A client of boto3 without a key of its own: it sends the agent's token."""
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    # A service with one path for everything is called at the endpoint itself.
    url = caller.url if service == "s3" else f"{caller.url}/"
    client = boto3.client(service, region_name=REGION, endpoint_url=url, config=config)
    bearer = f"Bearer {caller.token}"
    client.meta.events.register("before-send", lambda request, **_: request.headers.__setitem__("Authorization", bearer))
    with closing(client):
        yield client


def hidden(aws, text: str) -> bool:
    """Whether a text has none of the keys of the sessions."""
    return not any(part in text for keys, _ in aws.sessions.values() for part in (keys.secret_key, keys.token))


def test_boto3_writes_lists_and_reads_objects_through_the_proxy_without_a_key(writ, callers, aws):
    caller = callers["s3"]
    with sdk(caller, "s3") as s3:
        keys = ["2026/a b+c.txt", "2026/é (1)$&'.txt", "plain"]
        for key in keys:
            s3.put_object(Bucket="reports", Key=key, Body=b"hello", Metadata={"note": "two  spaces"})
            assert s3.get_object(Bucket="reports", Key=key)["Body"].read() == b"hello"
        listed = s3.list_objects_v2(Bucket="reports", Prefix="2026/")
        assert [found["Key"] for found in listed["Contents"]] == sorted(keys[:2])
        last = aws.seen[-1]
        assert last.session == caller.client.client_id
        assert caller.token not in repr(aws.seen)
        with pytest.raises(ClientError) as refused:
            s3.delete_object(Bucket="reports", Key="plain")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert [seen for seen in aws.seen if seen.method == "DELETE"] == []
    called = writ.event(client=caller.client.client_id, type="proxy.called", path="/reports/plain", method="GET")
    assert called["status"] == 200


def test_a_large_object_streams_to_s3_and_one_in_chunks_keeps_its_trailer(callers, aws):
    caller = callers["s3"]
    body = os.urandom(3_000_000)
    put = caller.http.put(f"{caller.url}/reports/large", content=body)
    assert put.status_code == 200, put.text
    assert aws.objects["/reports/large"] == body and aws.seen[-1].headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    for size in (1_000, 200_000):
        piece = os.urandom(size)
        chunked = b"%x\r\n%b\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % (size, piece)
        headers = {
            "Content-Encoding": "aws-chunked",
            "X-Amz-Content-Sha256": TRAILER,
            "X-Amz-Decoded-Content-Length": str(size),
            "X-Amz-Trailer": "x-amz-checksum-crc32",
        }
        put = caller.http.put(f"{caller.url}/reports/chunked", content=chunked, headers=headers)
        assert put.status_code == 200, put.text
        assert aws.objects["/reports/chunked"] == piece


def test_other_services_have_the_digest_of_the_whole_body_signed(callers, aws):
    caller = callers["dynamodb"]
    with sdk(caller, "dynamodb") as dynamodb:
        for size in (10, 200_000):
            item = {"id": {"S": "1"}, "text": {"S": "x" * size}}
            answer = dynamodb.put_item(TableName="reports", Item=item)
            assert answer["Attributes"]["text"]["S"] == "x" * size
            assert aws.seen[-1].headers["x-amz-target"] == "DynamoDB_20120810.PutItem"
    large = caller.http.post(f"{caller.url}/", content=b"x" * 1_100_000, headers={"Content-Type": "application/x-amz-json-1.0"})
    assert large.status_code == 413, large.text
    # A path that is encoded is encoded once more where it is signed.
    caller = callers["bedrock"]
    answer = caller.http.post(f"{caller.url}/model/anthropic.claude-v2%3A1/invoke", json={"Item": {}})
    assert answer.status_code == 200, answer.text
    assert aws.seen[-1].path == "/model/anthropic.claude-v2%3A1/invoke"


def test_what_the_service_says_of_a_signature_has_no_key_in_it(callers, aws):
    caller = callers["s3"]
    aws.angry = True
    try:
        refused = caller.http.get(f"{caller.url}/reports/plain", headers={"X-Amz-Security-Token": "mine", "X-Amz-Date": "20200101T000000Z"})
    finally:
        aws.angry = False
    assert refused.status_code == 403 and "SignatureDoesNotMatch" in refused.text, refused.text
    assert "x-amz-security-token:****" in refused.text and "Signature=****" in refused.text, refused.text
    assert hidden(aws, refused.text + json.dumps(dict(refused.headers)))
    assert "mine" not in refused.text and "20200101" not in refused.text

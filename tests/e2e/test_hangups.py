"""A client that hangs up while others wait for what its request fetches: workerd ends such requests unless they are held."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
from hub import AT_HOME, READ
from outsiders import ASSERTION_TYPE, Key, Service

SLOW = 4.0
"""How long the fetch takes; a claim that nobody takes back lasts 20 seconds, and a mark in memory 25."""


class SlowKeys(Service):
    """A key set that takes long to come."""

    def __init__(self, origin: str):
        super().__init__(int(origin.rsplit(":", 1)[1]))
        self.key, self.asked, self.begun = Key(), 0, threading.Event()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        self.asked += 1
        self.begun.set()
        time.sleep(SLOW)
        return 200, json.dumps(self.key.jwks)


def hang_up(url: str, request: dict) -> None:
    """Sends a request and closes the connection before the answer can have come."""
    with httpx.Client(timeout=0.7) as client, pytest.raises(httpx.ReadTimeout):
        client.post(url, **request)


def wait(count: int, send) -> tuple[list, float]:
    """The answers to as many requests at the same time, and how long the last one took."""
    start = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(lambda _: send(), range(count)))
    return answers, time.monotonic() - start


def test_a_client_that_hangs_up_during_a_fetch_of_keys_keeps_no_other_waiting(writ, shop, outbound):
    with SlowKeys(outbound[3]) as keys:
        client = writ.register(
            "impatient", token_endpoint_auth_method="private_key_jwt", jwks_uri=f"{keys.origin}/jwks-{time.time()}",
            allowed_resources=[shop.resource],
        )  # fmt: skip

        writ.policy(
            "impatient",
            f'permit(principal == Client::"{client.client_id}", action == Action::"issue", resource in Resource::"{shop.resource}");',
        )

        def request() -> dict:
            claims = {"iss": client.client_id, "sub": client.client_id, "aud": writ.issuer}
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": keys.key.sign(claims),
                "resource": shop.resource,
            }
            return {"data": form, "headers": {"CF-Connecting-IP": AT_HOME}}

        hang_up(f"{writ.issuer}/token", request())
        assert keys.begun.is_set(), "it was the one that fetches"
        answers, took = wait(5, lambda: writ.http.post(f"{writ.issuer}/token", **request()))
        assert [answer.status_code for answer in answers] == [200] * 5, answers[0].text
        assert took < SLOW + 2
        assert keys.asked == 1


def test_a_client_that_hangs_up_during_a_lease_keeps_no_other_waiting(writ, shop, google, connection):
    subject_token = shop.token(shop.lessee, READ)
    google.behave(mode="ok", delay=SLOW)
    form = {"subject_token": subject_token}
    request = {"headers": {"CF-Connecting-IP": AT_HOME}, **shop.server.authenticate(form)}
    hang_up(f"{writ.issuer}/connections/{connection}/token", request)
    answers, took = wait(5, lambda: writ.lease(shop.server, connection, subject_token))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert took < SLOW + 2
    assert google.seen()["exchanges"] == 1

"""A person connects an account at oidc-provider, as npm has it, whose refresh tokens rotate: one that is used twice ends the account there."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2 as httpx
import pytest
from hub import Client, Process, Writ, eventually
from person import FOLDER, NODE, Person, answered
from test_pages import CHALLENGE, registered
from test_sign_in import shows

CLIENT, SECRET = "writ at the service", "a secret / with + signs"
# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
REDIRECT = "http://localhost:9/callback"
TOGETHER = 20


@dataclass
class Connected:
    """An account that a person has connected, and an agent that leases its tokens."""

    writ: Writ
    origin: str
    name: str
    server: Client
    token: str
    person: Person
    account: str = ""

    def lease(self) -> httpx.Response:
        return self.writ.lease(self.server, self.name, self.token)

    def leases(self) -> list[str]:
        """The access tokens of leases at the same time."""
        with ThreadPoolExecutor(TOGETHER) as pool:
            answers = list(pool.map(lambda _: self.lease(), range(TOGETHER)))
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        return [answer.json()["access_token"] for answer in answers]

    def me(self) -> httpx.Response:
        """What the service says of the account, through the proxy."""
        url = f"{self.writ.issuer}/connections/{self.name}/proxy/me"
        auth = self.server.authenticate({})["auth"]
        return self.writ.http.get(url, headers={"Writ-Subject-Token": self.token}, auth=auth)

    def counted(self) -> dict:
        return httpx.get(f"{self.origin}/counted").raise_for_status().json()

    def lives(self, seconds: int) -> None:
        """How long the access tokens of the next refreshes live."""
        httpx.put(f"{self.origin}/lifetime/{seconds}").raise_for_status()


@pytest.fixture
def connected(writ, person, outbound, folder):
    """A new connection to a new service."""
    origin, name = outbound[3], f"e2e-{os.urandom(4).hex()}"
    command = [NODE, FOLDER / "oauth_service.mjs", origin, CLIENT, SECRET, f"{writ.issuer}/connect/{name}/callback"]
    with Process(command, folder / "oauth_service.log") as process:
        process.ready(lambda: httpx.get(f"{origin}/counted").is_success, within=30)
        described = {
            "name": "Example service",
            "oauth2": {
                "authorization_endpoint": f"{origin}/auth",
                "token_endpoint": f"{origin}/token",
                "revocation_endpoint": f"{origin}/token/revocation",
                "token_endpoint_auth_method": "client_secret_basic",
                "refresh": "rotates",
            },
            "proxy": {"base_url": origin},
            "check": {"path": "/me", "account": "/name", "account_id": "/sub"},
        }
        config = {
            "service": described,
            "client_id": CLIENT,
            "scopes": ["openid", "profile"],
            "allow": [{"methods": ["GET"], "path": "/me"}],
        }
        writ.put(f"connections/{name}", {"kind": "oauth2", "config": config, "secret": {"client_secret": SECRET}})
        server, token = agent(writ, person, name)
        connected = Connected(writ, origin, name, server, token, person)
        lease = eventually(lambda: (answer := connected.lease()).status_code != 403 and answer)
        assert lease.json()["error"] == "interaction_required", lease.text
        person.open(url=lease.json()["connect_url"])
        person.submit(press="button.main")
        shows(person, "password")
        login = f"grace-{os.urandom(4).hex()}"
        connected.account = f"Dr {login}"
        person.submit(fill={"login": login, "password": "any"}, press="button[type=submit]")
        eventually(lambda: connected.account in person.look()["text"], within=15)
        yield connected
        current = writ.admin("GET", f"connections/{name}")
        writ.admin("DELETE", f"connections/{name}", headers={"If-Match": current.headers["etag"]})


def agent(writ, person, name: str) -> tuple[Client, str]:
    """A resource server, and the token of an agent for the person who has allowed it that."""
    resource = f"https://{name}.example/mcp"
    scopes = [{"name": "profile:read", "description": "Read your profile", "effect": "reads"}]
    writ.admin("POST", "resources", 201, json={"resource": resource, "name": "Profiles", "scopes": scopes})
    server = writ.register(f"e2e server {name}", "resource_server", allowed_resources=[resource])
    client = registered(writ, client_name="Profile reader", redirect_uris=[REDIRECT], allowed_resources=[resource])
    mine = f'principal == Client::"{client}"'
    writ.policy(f"{name}-issue", f'permit({mine}, action == Action::"issue", resource in Resource::"{resource}");')
    writ.policy(f"{name}-lease", f'permit({mine}, action == Action::"lease", resource == Connection::"{name}");')
    parameters = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": REDIRECT,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "some state",
        "resource": resource,
        "scope": "profile:read",
    }
    person.approve(url=str(httpx.URL(f"{writ.issuer}/authorize", params=parameters)))
    form = {
        "grant_type": "authorization_code",
        "client_id": client,
        "code": answered(person.look()["url"])["code"],
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
    }
    answer = writ.http.post(f"{writ.issuer}/token", data=form)
    assert answer.status_code == 200, answer.text
    return server, answer.json()["access_token"]


def test_leases_at_the_same_time_refresh_once_and_no_refresh_token_is_used_twice(connected):
    # The access token of the code lives for a second.
    time.sleep(1.1)
    connected.lives(30)
    assert len(set(connected.leases())) == 1
    assert connected.counted() == {"refreshed": 1, "reused": 0, "revoked": 0, "refused": []}
    # After half of its life a token is due again, and serves until another is there.
    time.sleep(16)
    connected.lives(600)
    connected.leases()
    newest = connected.lease().json()["access_token"]
    assert connected.counted() == {"refreshed": 2, "reused": 0, "revoked": 0, "refused": []}
    me = connected.me()
    assert me.status_code == 200 and me.json()["name"] == connected.account, me.text
    assert set(connected.leases()) == {newest} and connected.counted()["refreshed"] == 2


def test_who_disconnects_has_the_grant_revoked_at_the_service(writ, connected):
    time.sleep(1.1)
    token = connected.lease().raise_for_status().json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{connected.origin}/me", headers=bearer).status_code == 200
    mine = connected.person.open(url=f"{writ.issuer}/me")
    assert connected.account in mine["text"], mine
    connected.person.submit(press=f'button[name="disconnect"][aria-label*="{connected.account}"]')
    eventually(lambda: connected.counted()["revoked"] == 1, within=90)
    assert httpx.get(f"{connected.origin}/me", headers=bearer).status_code == 401
    assert connected.counted()["reused"] == 0
    refused = eventually(lambda: (answer := connected.lease()).is_error and answer)
    assert refused.json()["error"] == "interaction_required", refused.text

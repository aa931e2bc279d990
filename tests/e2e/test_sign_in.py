"""People sign in with the identity provider of their organisation, which is oidc-provider as npm has it."""

import os

import httpx2 as httpx
import jwt
import pytest
from hub import Process, eventually
from person import FOLDER, NODE, answered
from test_pages import CHALLENGE, registered

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CLIENT, SECRET = "writ at the idp", "a secret / with + signs"


@pytest.fixture(scope="module")
def idp(writ, outbound, folder):
    """The origin of the provider, which Writ knows as `e2e-idp`."""
    origin = outbound[2]
    command = [NODE, FOLDER / "idp.mjs", origin, CLIENT, SECRET, writ.issuer]
    with Process(command, folder / "idp.log") as process:
        process.ready(lambda: httpx.get(f"{origin}/.well-known/openid-configuration").is_success, within=30)
        body = {
            "id": "e2e-idp",
            "issuer": origin,
            "name": "Example IdP",
            "label": "Example & Sons",
            "uses": ["sign_in"],
            "client_id": CLIENT,
            "client_secret": SECRET,
            "scopes": "openid profile email groups",
            "groups_claim": "groups",
            "creates_users": True,
        }
        writ.admin("POST", "issuers", 201, json=body)
        yield origin
        writ.admin("DELETE", "issuers/e2e-idp", 204)


@pytest.fixture(scope="module")
def resource(writ) -> str:
    """A resource of which policy permits the staff of the organisation everything."""
    resource = f"https://e2e-{os.urandom(4).hex()}.example/mcp"
    scopes = [
        {"name": "report:read", "description": "Read reports", "effect": "reads"},
        {"name": "report:publish", "description": "Publish reports", "effect": "changes"},
    ]
    writ.admin("POST", "resources", 201, json={"resource": resource, "name": "Reports", "scopes": scopes})
    writ.policy(
        f"e2e-{resource.split('.')[0].removeprefix('https://')}",
        f'permit(principal, action == Action::"issue", resource in Resource::"{resource}")'
        ' when { context has subject && context.subject.groups.contains("staff") };',
    )
    return resource


def request(writ, resource: str, client: str | None = None, scope: str = "report:read") -> str:
    """An authorization request, of a new client if none is named."""
    parameters = {
        "response_type": "code",
        "client_id": client or registered(writ, client_name="Report reader"),
        "redirect_uri": "http://localhost:9/callback",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "some state",
        "resource": resource,
        "scope": scope,
    }
    return str(httpx.URL(f"{writ.issuer}/authorize", params=parameters))


def shows(person, field: str):
    """Waits for a page with that field: one page goes on to the next by itself."""
    eventually(lambda: any(one["name"] == field for one in person.look()["fields"]), within=15)


def sign_in_there(person, name: str) -> None:
    """Signs in at the provider, to which the person has been sent."""
    shows(person, "password")
    person.submit(fill={"login": name, "password": "any"}, press="button[type=submit]")


def test_a_person_is_sent_to_the_provider_for_a_second_factor_that_policy_wants(writ, person, idp, resource):
    on = f'principal, action == Action::"issue", resource == Scope::"{resource} report:publish"'
    name = f"e2e-second-factor-{os.urandom(4).hex()}"
    writ.policy(name, f'@require("step_up:acr=urn:mfa") permit({on});')
    client, who = registered(writ, client_name="Publisher"), f"grace-{os.urandom(4).hex()}"
    ask = request(writ, resource, client, "report:read report:publish")
    person.open(url=ask)
    person.signin(provider="e2e-idp")
    sign_in_there(person, who)
    shows(person, "provider")
    assert "with a second factor" in person.look()["text"]
    person.signin(provider="e2e-idp")
    sign_in_there(person, who)
    shows(person, "decision")
    code = answered(person.consent(scopes=["report:read", "report:publish"])["url"])["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": client,
        "redirect_uri": "http://localhost:9/callback",
        "code_verifier": VERIFIER,
    }
    answer = httpx.post(f"{writ.issuer}/token", data=form).json()
    assert answer.get("scope", "").split() == ["report:read", "report:publish"], answer
    assert jwt.decode(answer["access_token"], options={"verify_signature": False})["acr"] == "urn:mfa"


def test_a_person_signs_in_at_the_provider_decides_and_is_signed_out_by_it(writ, person, idp, resource):
    seen = person.open(url=request(writ, resource))
    assert seen["page"] == "signin" and "Continue with Example & Sons" in [field.get("text") for field in seen["fields"]]
    person.signin(provider="e2e-idp")
    name = f"ada-{os.urandom(4).hex()}"
    sign_in_there(person, name)
    shows(person, "decision")
    seen = person.look()
    assert f"Dr {name}" in seen["text"] and not any(field.get("disabled") for field in seen["fields"])
    assert "code" in answered(person.consent(scopes=["report:read"])["url"])
    assert any(name in str(user["accounts"]) for user in writ.admin("GET", "users", 200, params={"name": f"Dr {name}"}).json()["items"])

    # The session holds for another client, and the provider ends it.
    assert person.open(url=request(writ, resource))["page"] == "consent"
    person.open(url=f"{idp}/session/end")
    person.submit(press="button[value=yes]")
    ended = lambda: person.open(url=request(writ, resource))["page"] == "signin"  # noqa: E731
    eventually(ended, within=15)
    told = lambda: any(event.get("detail") == f"by {idp}" for event in writ.events(type="session.ended"))  # noqa: E731
    eventually(told, within=20)

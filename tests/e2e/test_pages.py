"""The pages that people see, in Chromium: whether everybody can use them, and whom they obey.

With WRIT_WRITE_DOCS=1 it takes the pictures of docs/screenshots/ anew."""

import os
from urllib.parse import quote, urlencode

import httpx2 as httpx
import pytest
from hub import ROOT
from person import answered

SCREENSHOTS = ROOT / "docs" / "screenshots"
LOOKS = {
    f"{name}{'-dark' if dark else ''}": {"width": width, "dark": dark}
    for name, width in (("wide", 1280), ("narrow", 320))
    for dark in (False, True)
}
# The example of RFC 7636 appendix B.
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SCOPES = [
    {"name": "calendar:read", "description": "See your appointments", "tool": "list_appointments", "effect": "reads"},
    {"name": "calendar:write", "description": "Make and move appointments", "tool": "move", "effect": "changes"},
    {"name": "calendar:delete", "description": "Delete appointments", "tool": "delete", "effect": "deletes"},
    {"name": "calendar:share", "description": "Let others see your appointments", "tool": "share", "effect": "changes"},
]


@pytest.fixture(scope="module")
def calendar(writ) -> str:
    """A resource of which policy permits all scopes but one. Nobody calls it."""
    resource = "https://calendar.example/mcp"
    made = writ.admin("POST", "resources", json={"resource": resource, "name": "Calendar", "scopes": SCOPES})
    assert made.status_code in (201, 409), made.text
    on = f'resource in Resource::"{resource}"'
    writ.policy(
        "e2e-calendar",
        f'permit(principal, action == Action::"issue", {on}) when {{ resource.name != "calendar:share" }};',
    )
    return resource


@pytest.fixture
def client(writ) -> str:
    return registered(writ)


def registered(writ, **metadata) -> str:
    body = {
        "client_name": "Appointments assistant",
        "kind": "delegated",
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://localhost/callback"],
        **metadata,
    }
    return writ.admin("POST", "clients", 201, json=body).json()["client_id"]


def request(writ, client: str, calendar: str, redirect: str = "http://localhost:65535/callback", **more) -> str:
    """An authorization request for everything that the calendar has."""
    parameters = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "some state",
        "resource": calendar,
        "scope": " ".join(scope["name"] for scope in SCOPES),
        **more,
    }
    return f"{writ.issuer}/authorize?{urlencode(parameters)}"


def at_sign_in(writ, person, client, calendar):
    assert person.open(url=request(writ, client, calendar))["page"] == "signin"


def at_consent(writ, person, client, calendar):
    at_sign_in(writ, person, client, calendar)
    assert person.signin()["page"] == "consent"


def at_consent_of_a_stranger(writ, person, client, calendar):
    metadata = {
        "client_name": "Appointments assistant",
        "redirect_uris": ["http://localhost:65535/callback"],
        "token_endpoint_auth_method": "none",
    }
    made = httpx.post(f"{writ.issuer}/register", json=metadata)
    assert made.status_code == 201, made.text
    at_consent(writ, person, made.json()["client_id"], calendar)


def device_code(writ, client, calendar) -> dict:
    grants = ["urn:ietf:params:oauth:grant-type:device_code"]
    client = registered(writ, grant_types=grants, redirect_uris=[])
    form = {"client_id": client, "resource": calendar, "scope": "calendar:read calendar:write"}
    answer = httpx.post(f"{writ.issuer}/device_authorization", data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def at_device(writ, person, client, calendar):
    assert person.open(url=device_code(writ, client, calendar)["verification_uri_complete"])["status"] == 200


def at_consent_of_a_device(writ, person, client, calendar):
    at_device(writ, person, client, calendar)
    person.submit(press="main button.main")
    assert person.signin()["page"] == "consent"


def at_outcome_of_a_device(writ, person, client, calendar):
    at_consent_of_a_device(writ, person, client, calendar)
    assert person.consent()["status"] == 200


def at_step_up(writ, person, client, calendar):
    person.open(url=request(writ, client, calendar, scope="calendar:read"))
    person.signin()
    person.consent()
    assert person.open(url=request(writ, client, calendar))["page"] == "consent"


def at_what_is_connected(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    person.consent()
    assert "Appointments assistant" in person.open(url=f"{writ.issuer}/me")["text"]


def at_connecting_an_account(writ, person, client, calendar):
    body = {
        "kind": "oauth2",
        "config": {"service": "slack", "client_id": "1234.5678", "scopes": ["chat:write", "channels:read"]},
        "secret": {"client_secret": "nobody asks for it here"},
    }
    if writ.admin("GET", "connections/slack-of-pages").status_code == 404:
        writ.admin("PUT", "connections/slack-of-pages", 201, json=body)
    at_what_is_connected(writ, person, client, calendar)
    assert "Slack" in person.open(url=f"{writ.issuer}/connect/slack-of-pages")["heading"]


def at_unknown_client(writ, person, client, calendar):
    assert person.open(url=request(writ, "client_of_nobody", calendar))["status"] == 400


def at_another_redirect_uri(writ, person, client, calendar):
    assert person.open(url=request(writ, client, calendar, "https://elsewhere.example/callback"))["status"] == 400


PAGES = {
    # The first, because it shows all that the demonstration person has connected before.
    "connected": at_what_is_connected,
    "sign-in": at_sign_in,
    "consent": at_consent,
    "consent-self-registered": at_consent_of_a_stranger,
    "consent-again": at_step_up,
    "device": at_device,
    "device-consent": at_consent_of_a_device,
    "device-outcome": at_outcome_of_a_device,
    "connect": at_connecting_an_account,
    "unknown-client": at_unknown_client,
    "unknown-redirect-uri": at_another_redirect_uri,
}


@pytest.mark.parametrize("page", PAGES)
def test_everybody_can_use_a_page_at_any_width_and_in_light_and_dark(writ, person, client, calendar, page):
    """WCAG 2.2 AA as far as axe-core can tell, and no scrolling sideways at 320 pixels (success criterion 1.4.10)."""
    PAGES[page](writ, person, client, calendar)
    seen = person.look()
    assert seen["title"] and seen["heading"]
    assert seen["complaints"] == []
    for look in LOOKS.values():
        assert person.axe(**look)["violations"] == [], look
    if os.environ.get("WRIT_WRITE_DOCS"):
        SCREENSHOTS.mkdir(exist_ok=True)
        for name, look in LOOKS.items():
            person.screenshot(path=str(SCREENSHOTS / f"{page}-{name}.png"), **look)


def test_what_axe_looks_for_it_finds(person):
    person.open(url="data:text/html,<title>Bad</title><main><h1>Bad</h1><input name=scope><p style=width:2000px>wide</main>")
    found = {violation["id"] for violation in person.axe(width=320)["violations"]}
    assert {"label", "html-has-lang", "reflow"} <= found


def test_the_page_names_the_client_where_it_returns_to_and_each_scope_in_words(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    seen = person.look()
    for expected in ("Appointments assistant", "localhost", "Calendar", *(scope["description"] for scope in SCOPES)):
        assert expected in seen["text"]
    boxes = {field["value"]: field for field in seen["fields"] if field["name"] == "scope"}
    assert boxes["calendar:share"]["disabled"] and not boxes["calendar:read"].get("disabled")


def test_a_person_signs_in_and_decides_with_the_keyboard_alone(writ, person, client, calendar):
    at_sign_in(writ, person, client, calendar)
    assert person.keyboard(to="button[name=provider]", key="Enter")["page"] == "consent"
    at = person.keyboard(to="button[name=decision][value=allow]", key="Enter")["url"]
    assert answered(at)["code"]


def test_a_german_browser_is_spoken_to_in_german(writ, browser, client, calendar):
    with browser.person("german", "de-DE") as person:
        at_consent(writ, person, client, calendar)
        seen = person.look()
        assert seen["language"] == "de" and "Erlauben" in seen["text"]


@pytest.mark.parametrize(
    "redirect",
    [
        "http://localhost:65535/callback",
        "http://127.0.0.1:65535/callback",
        "http://[::1]:65535/callback",
        "https://app.example/callback?own=1",
        "com.example.app:/callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ],
)
@pytest.mark.parametrize("decision", ["allow", "deny"])
def test_the_answer_reaches_every_kind_of_redirect_uri(writ, person, calendar, redirect, decision):
    """A browser holds the redirect after a form against the policy of the page with the form (CSP3, form-action)."""
    client = registered(writ, application_type="native", redirect_uris=[redirect])
    at = person.approve(url=request(writ, client, calendar, redirect), decision=decision)["url"]
    assert at.startswith(redirect)
    answer = answered(at)
    assert answer["iss"] == writ.issuer and answer["state"] == "some state"
    assert ("code" in answer) == (decision == "allow")
    assert answer.get("error") == (None if decision == "allow" else "access_denied")


def test_a_request_of_one_browser_is_nothing_to_another(writ, browser, person, client, calendar):
    at_consent(writ, person, client, calendar)
    begun = person.look()["url"]
    with browser.person("another") as other:
        at_consent(writ, other, registered(writ), calendar)
        seen = other.open(url=begun)
        assert seen["page"] != "consent" and seen["status"] >= 400
    assert answered(person.consent()["url"])["code"]


def test_two_requests_in_one_browser_do_not_mix(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    first = person.look()["url"]
    other = registered(writ, client_name="Other assistant", redirect_uris=["http://localhost/other"])
    asked = request(writ, other, calendar, "http://localhost:65535/other", state="another state")
    assert "Other assistant" in person.open(url=asked)["heading"]
    assert "Appointments assistant" in person.open(url=first)["heading"]
    at = person.consent()["url"]
    assert at.startswith("http://localhost:65535/callback?") and answered(at)["state"] == "some state"


def test_somebody_else_can_sign_in_before_deciding(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    assert person.submit(press="footer button")["page"] == "signin"
    assert person.signin()["page"] == "consent"
    assert answered(person.consent()["url"])["code"]


def test_a_decision_is_made_once(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    begun = person.look()["url"]
    assert answered(person.consent(decision="deny")["url"])["error"] == "access_denied"
    seen = person.open(url=begun)
    assert seen["page"] != "consent" and seen["status"] >= 400


def test_a_form_on_another_page_decides_nothing(writ, person, client, calendar):
    at_consent(writ, person, client, calendar)
    begun = person.look()["url"]
    tag = "".join(f"<input name={name} value={value}>" for name, value in hidden(person.look()).items())
    form = f"<form method=post action='{begun}'>{tag}<button name=decision value=allow>Win a prize</button></form>"
    person.open(url=f"data:text/html,{quote(f'<main><h1>Prize</h1>{form}</main>')}")
    seen = person.consent()
    assert seen["url"] == begun and seen["status"] >= 400
    # The request is as it was.
    assert person.open(url=begun)["page"] == "consent"


def hidden(seen: dict) -> dict[str, str]:
    return {field["name"]: field["value"] for field in seen["fields"] if field["type"] == "hidden"}

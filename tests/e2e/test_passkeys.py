"""People set up a passkey and sign in with it, in Chromium with a virtual authenticator."""

import os

import pytest
from test_pages import LOOKS, SCREENSHOTS, calendar, client, request  # noqa: F401 (fixtures)


@pytest.fixture
def link(writ) -> str:
    user = writ.admin("POST", "users", 201, json={"name": "Ada Lovelace"}).json()["id"]
    yield writ.admin("POST", f"users/{user}/invitations", 201).json()["url"]
    # Other tests find the sign-in page as it was.
    writ.admin("DELETE", f"users/{user}", 204)


def test_an_invited_person_sets_up_a_passkey_and_signs_in_with_it(writ, person, client, calendar, link):  # noqa: F811
    person.authenticator()
    seen = person.open(url=link)
    assert seen["heading"] == "Set up a passkey" and "Ada Lovelace" in seen["text"]
    assert seen["complaints"] == []
    for look in LOOKS.values():
        assert person.axe(**look)["violations"] == [], look
    if os.environ.get("WRIT_WRITE_DOCS"):
        for name, look in LOOKS.items():
            person.screenshot(path=str(SCREENSHOTS / f"invitation-{name}.png"), **look)
    person.submit(press="button", fill={"name": "Laptop"})
    assert "Ada Lovelace" in person.open(url=request(writ, client, calendar))["text"]

    # As somebody who is signed out.
    seen = person.submit(press="footer button")
    assert any(field["value"] == "passkey" for field in seen["fields"])
    person.signin(provider="passkey")
    seen = person.until(leaves="/sign-in")
    assert seen["page"] == "consent" and "Ada Lovelace" in seen["text"], seen
    assert seen["complaints"] == []

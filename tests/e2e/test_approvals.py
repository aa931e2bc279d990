"""The pages on which a person approves what an agent asks for, in Chromium."""

import httpx2 as httpx
import pytest
from test_pages import LOOKS

RESOURCE = "https://deploy.example/mcp"
SCOPES = [
    {"name": "deploy:staging", "description": "Deploy to staging"},
    {"name": "deploy:production", "description": "Deploy to production", "effect": "changes"},
]


@pytest.fixture
def agent(writ, person):
    """An agent of the person who is signed in, which asks before it deploys to production."""
    made = writ.admin("POST", "resources", json={"resource": RESOURCE, "name": "Deployments", "scopes": SCOPES})
    assert made.status_code in (201, 409), made.text
    person.open(url=f"{writ.issuer}/me")
    person.signin()
    users = writ.admin("GET", "users?limit=100", 200).json()["items"]
    (ada,) = [user["id"] for user in users if user.get("name") == "Ada Demo"]
    agent = writ.register("Deployment assistant", owner=ada, allowed_resources=[RESOURCE])
    head = f'principal == Client::"{agent.client_id}", action == Action::"issue", resource in Resource::"{RESOURCE}"'
    writ.policy(f"e2e-deploy-{agent.client_id}", f'@require("approval") permit({head});')
    return agent


def ask(writ, agent) -> httpx.Response:
    return writ.token(agent, RESOURCE, "deploy:staging deploy:production")


def test_everybody_can_use_the_pages_of_approvals_at_any_width_and_in_light_and_dark(writ, person, agent):
    waits = ask(writ, agent).json()
    assert waits["error"] == "authorization_pending", waits
    for page in (f"{writ.issuer}/me/approvals", waits["approval_uri"]):
        seen = person.open(url=page)
        assert seen["status"] == 200 and "Deployment assistant" in seen["text"]
        assert waits["approval_number"] in seen["text"]
        looked = person.look()
        assert looked["title"] and looked["heading"] and looked["complaints"] == []
        for look in LOOKS.values():
            assert person.axe(**look)["violations"] == [], (page, look)


def test_a_person_approves_and_the_agent_goes_on_once(writ, person, agent):
    waits = ask(writ, agent).json()
    person.open(url=waits["approval_uri"])
    seen = person.submit(press="button.main")
    assert seen["status"] == 200 and "approved" in seen["text"]
    listed = person.open(url=f"{writ.issuer}/me/approvals")
    assert "You have decided" in listed["text"]
    assert person.axe(width=320)["violations"] == []
    answer = ask(writ, agent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == "deploy:staging deploy:production"
    assert ask(writ, agent).json()["error"] == "authorization_pending"


def test_enter_is_a_no(writ, person, agent):
    waits = ask(writ, agent).json()
    person.open(url=waits["approval_uri"])
    seen = person.keyboard(to="input[name=note]", key="Enter")
    assert "denied" in seen["text"]
    assert ask(writ, agent).json()["error"] == "access_denied"


def test_a_link_that_somebody_else_opens_shows_nothing(writ, browser, person, agent):
    waits = ask(writ, agent).json()
    with browser.person("nobody") as other:
        seen = other.open(url=waits["approval_uri"])
        assert "Deployment assistant" not in seen["text"]

"""An agent that posts to a chat for its user, and reads issues of a code host. It holds no credential of either service: both calls go through Writ,
which adds what is needed. Its user signs in once, on any device, and connects the chat once.

    python examples/connections/agent.py --dev

With --dev it also starts the two services (services.py), and registers itself, both connections and the policies at the running scripts/dev.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import httpx2 as httpx

import services

ROOT = Path(__file__).resolve().parents[2]
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
NAME = "Release notes"


class Writ:
    """What an agent needs of Writ: a token about its user, and calls through connections."""

    def __init__(self, issuer: str, client_id: str):
        self.issuer, self.client_id, self.token = issuer, client_id, None
        self.http = httpx.Client(timeout=30)

    def sign_in(self) -> None:
        """The device grant (RFC 8628): the user signs in and decides in a browser of their own."""
        resource = {"scope": "connections:use", "resource": f"{self.issuer}/connections"}
        asked = self.post("device_authorization", **resource)
        print(f"Open {asked['verification_uri_complete']}", flush=True)
        while not self.token:
            time.sleep(asked["interval"])
            answer = self.http.post(
                f"{self.issuer}/token",
                data={"grant_type": DEVICE_CODE, "device_code": asked["device_code"], "client_id": self.client_id},
            )
            if answer.is_success:
                self.token = answer.json()["access_token"]
            elif answer.json()["error"] not in ("authorization_pending", "slow_down"):
                sys.exit(f"not signed in: {answer.text}")

    def post(self, path: str, **form: str) -> dict:
        answer = self.http.post(f"{self.issuer}/{path}", data={"client_id": self.client_id, **form})
        if answer.is_error:
            sys.exit(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    def call(self, method: str, connection: str, path: str, **more):
        """A call to a service, through its connection. Where the user has to connect an account first, they are told, and the call goes on."""
        url = f"{self.issuer}/connections/{connection}/proxy/{path}"
        told = False
        while True:
            answer = self.http.request(method, url, headers={"Authorization": f"Bearer {self.token}"}, **more)
            if answer.status_code != 400 or answer.json().get("error") != "interaction_required":
                return answer
            if not told:
                print(f"Open {answer.json()['connect_url']}", flush=True)
                told = True
            time.sleep(2)


def register(dev: dict) -> str:
    """Registers the agent, both connections and the policies at the Writ of scripts/dev; the agent's client_id."""
    issuer, admin = dev["issuer"], dev["admin"]
    http = httpx.Client(timeout=30)
    token = http.post(
        f"{issuer}/token",
        auth=(admin["client_id"], admin["client_secret"]),
        data={"grant_type": "client_credentials", "resource": f"{issuer}/admin", "scope": "admin"},
    ).json()["access_token"]

    def ask(method: str, path: str, body=None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if method == "PUT" and (etag := http.get(f"{issuer}/admin/{path}", headers=headers).headers.get("etag")):
            headers["If-Match"] = etag
        answer = http.request(method, f"{issuer}/admin/{path}", headers=headers, json=body)
        if answer.is_error:
            sys.exit(f"{path}: {answer.status_code} {answer.text}")
        return answer

    known = [client for client in ask("GET", "clients?limit=100").json()["items"] if client["client_name"] == NAME]
    agent = known[0] if known else ask(
        "POST",
        "clients",
        {
            "client_name": NAME,
            "kind": "delegated",
            "grant_types": [DEVICE_CODE, "refresh_token"],
            "token_endpoint_auth_method": "none",
            "allowed_resources": [f"{issuer}/connections"],
        },
    ).json()
    origin = services.ORIGIN
    # At Slack and GitHub themselves `service` is `slack` and `github`: the catalogue knows the rest.
    chat = {
        "name": "Chat",
        "oauth2": {
            "authorization_endpoint": f"{origin}/chat/authorize",
            "token_endpoint": f"{origin}/chat/token",
            "revocation_endpoint": f"{origin}/chat/revoke",
            "refresh": "rotates",
        },
        "scopes": [{"name": "chat:write", "description": "Post messages as you", "effect": "changes"}],
        "proxy": {"base_url": f"{origin}/chat/api"},
        "check": {"path": "/auth.test", "account": "/user", "account_id": "/user_id"},
    }
    ask(
        "PUT",
        "connections/chat",
        {
            "kind": "oauth2",
            "config": {
                "service": chat,
                "client_id": services.CHAT_CLIENT,
                "scopes": ["chat:write"],
                "allow": [{"methods": ["POST"], "path": "/chat.postMessage"}],
            },
            "secret": {"client_secret": services.CHAT_SECRET},
        },
    )
    ask(
        "PUT",
        "connections/code",
        {
            "kind": "api_key",
            "config": {
                "service": {"name": "Code", "proxy": {"base_url": f"{origin}/code"}},
                "allow": [{"methods": ["GET"], "path": "/repos/*/*/issues"}],
            },
            "secret": {"api_key": services.CODE_KEY},
        },
    )
    client = agent["client_id"]
    lease = f'permit(principal == Client::"{client}", action == Action::"lease", resource) when {{ context has subject }};'
    ask("PUT", "policies/release-notes", {"description": "The agent may use every connection for its user.", "cedar": lease})
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    state = Path(os.environ.get("WRIT_STATE", ROOT / ".writ"))
    parser.add_argument("--dev", nargs="?", const=state / "dev.json", type=Path, metavar="DEV_JSON", required=True)
    dev = json.loads(parser.parse_args().dev.read_text())
    services.serve()
    writ = Writ(dev["issuer"], register(dev))
    writ.sign_in()
    issues = writ.call("GET", "code", "repos/acme/shop/issues").json()
    text = "Open: " + ", ".join(f"#{issue['number']} {issue['title']}" for issue in issues)
    posted = writ.call("POST", "chat", "chat.postMessage", json={"channel": "#shop", "text": text}).json()
    print(f"posted as {posted['message']['user']}: {posted['message']['text']}", flush=True)


if __name__ == "__main__":
    main()

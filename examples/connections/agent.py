"""An agent that posts to a chat for its user, and reads issues of a code host. It holds no credential of either service: both calls go through Writ,
which adds what is needed. Its user signs in once, on any device, and connects the chat once.

    python examples/connections/agent.py --dev

With --dev it also starts the two services (services.py), and registers itself, both connections and the policies at the running scripts/dev.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import httpx2 as httpx

import services

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
NAME = "Release notes"


class Writ:
    """What an agent needs of Writ: a token about its user, which it renews, and calls through connections."""

    def __init__(self, issuer: str, client_id: str):
        self.issuer, self.client_id = issuer, client_id
        self.token = self.refresh_token = None
        self.http = httpx.Client(timeout=30)

    def sign_in(self) -> None:
        """The device grant (RFC 8628): the user signs in and decides in a browser of their own."""
        resource = {"scope": "connections:use", "resource": f"{self.issuer}/connections"}
        answer = self.post("device_authorization", **resource)
        if answer.is_error:
            sys.exit(f"not signed in: {answer.status_code} {answer.text}")
        asked = answer.json()
        print(f"Open {asked['verification_uri_complete']}", flush=True)
        print(f"and see that it shows the code {asked['user_code']}", flush=True)
        pause = asked["interval"]
        while not self.token:
            time.sleep(pause)
            answer = self.post("token", grant_type=DEVICE_CODE, device_code=asked["device_code"])
            if answer.is_success:
                self.take(answer.json())
            elif error_of(answer) == "slow_down":
                pause += 5
            elif error_of(answer) != "authorization_pending":
                sys.exit(f"not signed in: {answer.status_code} {answer.text}")

    def renew(self) -> None:
        """Another access token for the refresh token (RFC 6749 section 6). It is taken back with the user's consent."""
        answer = self.post("token", grant_type="refresh_token", refresh_token=self.refresh_token)
        if answer.is_error:
            sys.exit(f"signed out, start again: {answer.status_code} {answer.text}")
        self.take(answer.json())

    def take(self, tokens: dict) -> None:
        self.token = tokens["access_token"]
        # Each use of a refresh token gives another one.
        self.refresh_token = tokens.get("refresh_token", self.refresh_token)

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.http.post(f"{self.issuer}/{path}", data={"client_id": self.client_id, **form})

    def call(self, method: str, connection: str, path: str, **more) -> httpx.Response:
        """A call to a service, through its connection. An access token lives minutes: one that is over is renewed. Where the user has to connect
        an account first, they are told, and the call goes on."""
        url = f"{self.issuer}/connections/{connection}/proxy/{path}"
        told = renewed = False
        while True:
            answer = self.http.request(method, url, headers={"Authorization": f"Bearer {self.token}"}, **more)
            error = error_of(answer)
            if (answer.status_code, error) == (401, "invalid_token") and self.refresh_token and not renewed:
                self.renew()
                renewed = True
            elif (answer.status_code, error) == (400, "interaction_required"):
                renewed = False
                if not told:
                    print(f"Open {answer.json()['connect_url']}", flush=True)
                    told = True
                time.sleep(2)
            else:
                return answer


def error_of(answer: httpx.Response) -> str | None:
    """The error code of Writ's answer; nothing if it is a service's answer without such a member."""
    try:
        said = answer.json() if answer.is_error else None
    except ValueError:
        return None
    return said.get("error") if isinstance(said, dict) else None


def register(dev: dict) -> str:
    """Registers the agent, both connections and the policies at the Writ of scripts/dev; the agent's client_id."""
    issuer, admin = dev["issuer"], dev["admin"]
    http = httpx.Client(timeout=30)
    answer = http.post(
        f"{issuer}/token",
        auth=(admin["client_id"], admin["client_secret"]),
        data={"grant_type": "client_credentials", "resource": f"{issuer}/admin", "scope": "admin"},
    )
    if answer.is_error:
        sys.exit(f"no administrator's token: {answer.status_code} {answer.text}")
    token = answer.json()["access_token"]

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


def read(answer: httpx.Response, service: str, issuer: str):
    """What a service has answered; if it has refused, this says what helps."""
    if answer.is_success:
        return answer.json()
    said = f"{service}: {answer.status_code} {answer.text}"
    if answer.status_code == 401:
        sys.exit(f"{said}\nThe service no longer knows the account: disconnect it at {issuer}/me, and start again.")
    sys.exit(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", nargs="?", const=services.STATE / "dev.json", type=Path, metavar="DEV_JSON", required=True)
    file = parser.parse_args().dev
    if not file.exists():
        sys.exit(f"{file} does not exist: start scripts/dev first and wait until it is ready.")
    dev = json.loads(file.read_text())
    issuer = dev["issuer"]
    services.serve(file.parent)
    try:
        writ = Writ(issuer, register(dev))
        writ.sign_in()
        issues = read(writ.call("GET", "code", "repos/acme/shop/issues"), "code", issuer)
        text = "Open: " + ", ".join(f"#{issue['number']} {issue['title']}" for issue in issues)
        message = {"channel": "#shop", "text": text}
        posted = read(writ.call("POST", "chat", "chat.postMessage", json=message), "chat", issuer)
    except httpx.TransportError as error:
        sys.exit(f"{issuer} does not answer ({error}): does scripts/dev run?")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"posted as {posted['message']['user']}: {posted['message']['text']}", flush=True)


if __name__ == "__main__":
    main()

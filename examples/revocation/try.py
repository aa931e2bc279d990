"""Shows the switch at work: a token of the demonstration is accepted, its agent is suspended, the token is refused."""

import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx

STATE = Path(os.environ.get("WRIT_STATE", Path(__file__).resolve().parents[2] / ".writ"))
PATIENCE = 60


def token(dev: dict, client: dict, resource: str, scope: str) -> dict[str, str]:
    form = {"grant_type": "client_credentials", "resource": resource, "scope": scope}
    answer = httpx.post(f"{dev['issuer']}/token", data=form, auth=(client["client_id"], client["client_secret"]))
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['access_token']}"}


def main() -> None:
    if not (STATE / "dev.json").exists():
        sys.exit(f"No Writ is running ({STATE / 'dev.json'} is missing): start scripts/dev first, or set WRIT_STATE.")
    dev = json.loads((STATE / "dev.json").read_text())
    agent, resource = dev["agents"][0], dev["resources"][0]
    # A token is for the resource, wherever its server listens.
    server = urlsplit(resource)
    url = server._replace(netloc=f"{server.hostname}:{os.environ.get('PORT', server.port)}").geturl()
    bearer = token(dev, agent, resource, agent["scope"])
    admin = token(dev, dev["admin"], f"{dev['issuer']}/admin", "admin")
    switch = f"{dev['issuer']}/admin/clients/{agent['client_id']}"

    accepted = httpx.get(url, headers=bearer)
    if not accepted.is_success:
        sys.exit(f"{accepted.status_code}: a fresh token is not accepted; was its agent suspended a moment ago?")
    print(accepted.status_code, "with a token of", agent["name"])
    httpx.post(f"{switch}/suspend", headers=admin).raise_for_status()
    start = time.monotonic()
    try:
        while (answer := httpx.get(url, headers=bearer)).is_success:
            if time.monotonic() > start + PATIENCE:
                sys.exit(f"after {PATIENCE} s the token is still accepted")
            time.sleep(0.05)
        seconds = time.monotonic() - start
        print(f"{answer.status_code} {seconds:.1f} s after it was suspended:", answer.headers["www-authenticate"])
    finally:
        httpx.post(f"{switch}/resume", headers=admin).raise_for_status()


try:
    main()
except httpx.ConnectError as error:
    sys.exit(f"No server at {error.request.url}: start server.py or server.ts first, with the same PORT.")

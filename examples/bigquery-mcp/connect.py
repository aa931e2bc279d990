"""Puts service-account files into Writ's vault, one connection each. Afterwards no program needs the files."""

import json
import sys
from pathlib import Path

import httpx2 as httpx

import settings

CONNECTIONS = {
    "bigquery-read": ["https://www.googleapis.com/auth/bigquery.readonly"],
    "bigquery-readwrite": ["https://www.googleapis.com/auth/bigquery"],
}


def admin_token(config: dict[str, str]) -> str:
    answer = httpx.post(
        f"{config['WRIT_ISSUER']}/token",
        auth=settings.basic(config),
        data={
            "grant_type": "client_credentials",
            "resource": f"{config['WRIT_ISSUER']}/admin",
            "scope": "admin",
        },
    )
    if answer.is_error:
        sys.exit(f"no admin token: {answer.status_code} {answer.text}")
    return answer.json()["access_token"]


def connect(config: dict[str, str], token: str, name: str, account: dict) -> None:
    url = f"{config['WRIT_ISSUER']}/admin/connections/{name}"
    bearer = {"Authorization": f"Bearer {token}"}
    current = httpx.get(url, headers=bearer)
    if "etag" in current.headers:
        bearer["If-Match"] = current.headers["etag"]
    answer = httpx.put(
        url,
        headers=bearer,
        json={
            "kind": "google_service_account",
            "config": {"scopes": CONNECTIONS[name]},
            "secret": account,
        },
    )
    if answer.is_error:
        sys.exit(f"{name}: {answer.status_code} {answer.text}")


if __name__ == "__main__":
    parser = settings.arguments(__doc__.splitlines()[0])
    for name in CONNECTIONS:
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="JSON", help=f"key file of {name}")
    args = vars(parser.parse_args())
    config = settings.load(args["dev"], "admin")
    files = {name: args[name.replace("-", "_")] for name in CONNECTIONS}
    if missing := [str(file) for file in files.values() if not file.exists()]:
        sys.exit(f"{' and '.join(missing)}: no such key file. google_standin.py makes them when it starts, and Google's console makes real ones.")
    try:
        token = admin_token(config)
    except httpx.ConnectError:
        sys.exit(f"{config['WRIT_ISSUER']} does not answer: does scripts/dev run?")
    for name, file in files.items():
        account = json.loads(file.read_text())
        connect(config, token, name, account)
        print(f"{name}: {account['client_email']}, scopes {' '.join(CONNECTIONS[name])}")

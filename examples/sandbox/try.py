"""Has the sandbox run agent.js, with a code host on this machine and an agent that may read its issues.

    python examples/sandbox/try.py --dev

It registers the agent, the connection and the policy at the running scripts/dev, which has to run the sandbox beside it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import httpx2 as httpx

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "connections"))
import services  # noqa: E402

NAME = "Sandboxed"
SANDBOX = os.environ.get("SANDBOX", "http://localhost:8789")


def register(dev: dict) -> tuple[str, str]:
    """An administrator's part: the agent, what it may reach, and how. The agent's client_id and client_secret."""
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

    agent = ask("POST", "clients", {"client_name": NAME, "allowed_resources": [f"{issuer}/connections"]}).json()
    # At GitHub itself `service` is `github`: the catalogue knows the rest.
    connection = {
        "kind": "api_key",
        "config": {
            "service": {"name": "Code", "proxy": {"base_url": f"{services.ORIGIN}/code"}},
            "allow": [{"methods": ["GET"], "path": "/repos/*/*/issues"}],
        },
        "secret": {"api_key": services.CODE_KEY},
    }
    ask("PUT", "connections/code", connection)
    permit = f'permit(principal == Client::"{agent["client_id"]}", action in [Action::"issue", Action::"lease"], resource);'
    ask("PUT", "policies/sandboxed", {"description": "The agent may use every connection.", "cedar": permit})
    return agent["client_id"], agent["client_secret"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dev", nargs="?", const=services.STATE / "dev.json", type=Path, metavar="DEV_JSON", required=True)
    file = parser.parse_args().dev
    if not file.exists():
        sys.exit(f"{file} does not exist: start scripts/dev first and wait until it is ready.")
    dev = json.loads(file.read_text())
    services.serve()
    code = (HERE / "agent.js").read_text().replace("http://127.0.0.1:9020", services.ORIGIN)
    try:
        print(httpx.post(SANDBOX, auth=register(dev), content=code, timeout=60).text)
    except httpx.ConnectError as error:
        where = error.request.url
        helps = "does scripts/dev run?" if str(where).startswith(dev["issuer"]) else "start scripts/dev with WRIT_DEV_WITH=examples/sandbox=8789."
        sys.exit(f"Nothing listens at {where}: {helps}")


if __name__ == "__main__":
    main()

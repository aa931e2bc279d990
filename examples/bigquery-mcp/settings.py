"""Settings of the example: environment variables, or with --dev what `scripts/dev` wrote down."""

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HELP = {
    "WRIT_ISSUER": "the issuer of the tenant, for example https://writ.example/t/main",
    "WRIT_CLIENT_ID": "the client_id that this program authenticates with",
    "WRIT_CLIENT_SECRET": "the secret of that client",
    "MCP_RESOURCE": "the public URL of the MCP server, for example http://localhost:8000/mcp",
}


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    state = Path(os.environ.get("WRIT_STATE", ROOT / ".writ"))
    parser.add_argument(
        "--dev",
        nargs="?",
        const=state / "dev.json",
        type=Path,
        metavar="DEV_JSON",
        help="take the settings from the dev.json of a running scripts/dev (default: %(const)s)",
    )
    return parser


def load(dev: Path | None, client: str, scope: str | None = None) -> dict[str, str]:
    """The four settings of HELP. With `dev`, `client` says whose: `admin`, `agents` or `resource_servers`."""
    settings = {name: os.environ.get(name, "") for name in HELP}
    if dev:
        if not dev.exists():
            sys.exit(f"{dev} does not exist: start scripts/dev first and wait until it is ready.")
        found = json.loads(dev.read_text())
        chosen = found[client]
        if isinstance(chosen, list):
            able = [one for one in chosen if scope is None or scope in one["scope"].split()]
            chosen = min(able, key=lambda one: len(one.get("scope", "")))
        settings |= {
            "WRIT_ISSUER": found["issuer"],
            "WRIT_CLIENT_ID": chosen["client_id"],
            "WRIT_CLIENT_SECRET": chosen["client_secret"],
            "MCP_RESOURCE": chosen.get("resource") or found["resources"][0],
        }
    missing = [f"  {name}: {HELP[name]}" for name, value in settings.items() if not value]
    if missing:
        sys.exit("\n".join(["Set these environment variables, or pass --dev:", *missing]))
    return settings


def basic(settings: dict[str, str]) -> tuple[str, str]:
    return settings["WRIT_CLIENT_ID"], settings["WRIT_CLIENT_SECRET"]

"""A resource that answers with the claims of the caller's token: the lines to put around one of your own."""

import asyncio
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn

from signals import Signals
from writ import RequireToken, Writ


DEV = Path(os.environ.get("WRIT_STATE") or Path(__file__).parent / "../../.writ") / "dev.json"


def issuer_of_dev() -> str:
    """The issuer of a running `scripts/dev`; where none runs, the one that it has by default."""
    return json.loads(DEV.read_text())["issuer"] if DEV.exists() else "http://localhost:8787/t/main"


async def application(scope, receive, send):
    body = json.dumps(scope["state"]["claims"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


async def main() -> None:
    resource = os.environ.get("RESOURCE", "http://localhost:8000/mcp")
    writ = Writ(os.environ.get("WRIT_ISSUER") or issuer_of_dev(), resource)
    app = RequireToken(application, writ)
    listening = None
    if "WRIT_CLIENT_ID" in os.environ:
        writ.signals = Signals(writ, os.environ["WRIT_CLIENT_ID"], os.environ["WRIT_CLIENT_SECRET"])
        listening = asyncio.create_task(writ.signals.listen())
    print(f"{resource} {'with' if listening else 'without'} signals", flush=True)
    port = int(os.environ.get("PORT", urlsplit(resource).port))
    config = uvicorn.Config(app, "localhost", port, log_level="warning", lifespan="off")
    await uvicorn.Server(config).serve()


asyncio.run(main())

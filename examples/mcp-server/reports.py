"""Reports to Writ which tools were called: in batches, beside the calls. Copy it beside your own MCP server.

A report neither slows a call nor fails one. Calls wait in memory; while Writ cannot be reached, the oldest give way. The token of a
call goes along, for it proves who called; nothing but a digest tells of the arguments.
"""

import asyncio
import hashlib
import json
import logging
import time
import uuid
from base64 import urlsafe_b64encode
from collections import deque
from contextlib import suppress

import httpx2 as httpx
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import Middleware

PAUSE, LONGEST_PAUSE, LAST_SECONDS = 2, 60, 5
MOST_CALLS, MOST_BYTES, MOST_WAITING = 50, 60_000, 5_000
log = logging.getLogger(__name__)


class Reports(Middleware):
    """The calls of one resource server, whose client may ask for `{issuer}/events`."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, scopes: dict[str, list[str]]):
        """`scopes` are those that each tool uses."""
        self.issuer, self.client, self.scopes = issuer, (client_id, client_secret), scopes
        self.http = httpx.AsyncClient(timeout=30)
        self.waiting: deque[dict] = deque(maxlen=MOST_WAITING)
        self.bearer, self.good_until = {}, 0.0
        self.sending, self.closing = None, asyncio.Event()

    async def on_call_tool(self, context, call_next):
        at, begun, outcome = time.time(), time.monotonic(), "failed"
        try:
            result = await call_next(context)
            outcome = "failed" if getattr(result, "is_error", False) else "succeeded"
            return result
        finally:
            self.note(context.message.name, context.message.arguments or {}, outcome, at, time.monotonic() - begun)

    def note(self, tool: str, arguments: dict, outcome: str, at: float, seconds: float) -> None:
        """Has a call reported, soon."""
        if not (token := get_access_token()):
            return
        text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        call = {
            "id": str(uuid.uuid4()),
            "subject_token": token.token,
            "tool": tool,
            "at_millis": int(at * 1000),
            "outcome": outcome,
            "millis": int(seconds * 1000),
            "arguments_sha256": urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("="),
        }
        if used := [scope for scope in self.scopes.get(tool, []) if scope in token.scopes]:
            call["scope"] = " ".join(used)
        self.waiting.append(call)
        if not self.sending or self.sending.done():
            self.sending = asyncio.create_task(self.send())

    async def send(self) -> None:
        """Sends what waits, until nothing does."""
        while self.waiting:
            await self.rest(PAUSE)
            batch, size = [], 0
            while self.waiting and len(batch) < MOST_CALLS and size < MOST_BYTES:
                size += len(json.dumps(self.waiting[0]))
                if not batch or size < MOST_BYTES:
                    batch.append(self.waiting.popleft())
            await self.deliver(batch)

    async def deliver(self, calls: list[dict]) -> None:
        """Sends calls until Writ has them, or says that they are wrong."""
        pause = PAUSE
        while True:
            try:
                answer = await self.post(calls)
            except (httpx.HTTPError, LookupError, ValueError) as error:
                log.warning("tool calls are not reported for now: %r", error)
            else:
                if answer.is_success:
                    return
                if answer.status_code in (400, 413) and len(calls) > 1:  # one of them is wrong: the others are not
                    half = len(calls) // 2
                    await self.deliver(calls[:half])
                    return await self.deliver(calls[half:])
                log.warning("tool calls are not reported: %s %s", answer.status_code, answer.text)
                if answer.status_code in (400, 413):
                    return
                self.good_until = 0.0
            if self.closing.is_set():
                return
            await self.rest(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def post(self, calls: list[dict]) -> httpx.Response:
        if time.monotonic() > self.good_until:
            form = {"grant_type": "client_credentials", "resource": f"{self.issuer}/events"}
            answer = await self.http.post(f"{self.issuer}/token", data=form, auth=self.client)
            token = answer.raise_for_status().json()
            self.bearer = {"Authorization": f"Bearer {token['access_token']}"}
            self.good_until = time.monotonic() + token["expires_in"] / 2
        return await self.http.post(f"{self.issuer}/events", headers=self.bearer, json={"calls": calls})

    async def rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    async def close(self) -> None:
        """Sends what waits, for a last time."""
        self.closing.set()
        if self.sending:
            await asyncio.wait([self.sending], timeout=LAST_SECONDS)

"""Hears of revocations as they happen: `session-revoked` events (CAEP 1.0), fetched by RFC 8936. Optional beside `writ.py`.

What is known is kept in memory. A process that starts anew knows nothing of what was revoked before; the status list does,
but for single tokens, which `admin/kill` and the revocation endpoint stop. Each process needs a client of its own, because
an event is handed out once.
"""

import asyncio
import hashlib
import logging
import time

import httpx2 as httpx
import jwt

from writ import LEEWAY, Refused, Writ

SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
POLL = "urn:ietf:rfc:8936"
LONGEST_LIFE, PAUSE = 3600, 1
log = logging.getLogger(__name__)


class Signals:
    """The event stream of one client, which is a `resource_server` and may ask for `{issuer}/ssf`."""

    def __init__(self, writ: Writ, client_id: str, client_secret: str):
        self.writ, self.client = writ, (client_id, client_secret)
        self.known: list[tuple[dict, int]] = []

    def revoked(self, claims: dict) -> bool:
        return any(claims["iat"] <= until and matches(subject, claims) for subject, until in self.known)

    async def listen(self) -> None:
        """Takes events for as long as it runs."""
        while True:
            try:
                await self.session()
            except (httpx.HTTPError, LookupError, ValueError) as error:
                log.warning("no revocation events for now: %r", error)
                await asyncio.sleep(PAUSE)

    async def session(self) -> None:
        """Takes events for half as long as an access token lives."""
        url, bearer, lifetime = await self.stream()
        settled, until = {}, time.monotonic() + lifetime / 2
        while time.monotonic() < until:
            # Is answered as soon as there is something, or after some seconds with nothing.
            answer = (await self.writ.http.post(url, headers=bearer, json=settled)).raise_for_status().json()
            settled = {"ack": [], "setErrs": {}}
            for jti, event in answer["sets"].items():
                try:
                    self.take(await self.writ.decode(event, "secevent+jwt", ["iat", "jti"], self.client[0]))
                    settled["ack"].append(jti)
                except Refused as error:
                    settled["setErrs"][jti] = {"err": "authentication_failed", "description": str(error)}

    async def stream(self) -> tuple[str, dict, int]:
        """Where to fetch, with what, and for how long; makes the stream if there is none."""
        issuer, http = self.writ.issuer, self.writ.http
        form = {"grant_type": "client_credentials", "resource": f"{issuer}/ssf"}
        token = (await http.post(f"{issuer}/token", data=form, auth=self.client)).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        streams = (await self.writ.get(f"{issuer}/ssf/streams", headers=bearer)).raise_for_status().json()
        if not streams:
            wanted = {"delivery": {"method": POLL}, "events_requested": [SESSION_REVOKED]}
            made = await http.post(f"{issuer}/ssf/streams", headers=bearer, json=wanted)
            streams = [made.raise_for_status().json()]
        return streams[0]["delivery"]["endpoint_url"], bearer, token["expires_in"]

    def take(self, event: dict) -> None:
        if revoked := event["events"].get(SESSION_REVOKED):
            self.known.append((event["sub_id"], revoked["event_timestamp"]))
        oldest = time.time() - LONGEST_LIFE - LEEWAY  # older tokens have expired
        self.known = [(subject, until) for subject, until in self.known if until > oldest]


def matches(subject: dict, claims: dict) -> bool:
    """Whether a token is one of those that an event is about (RFC 9493, SSF 1.0 §3)."""
    match subject:
        case {"format": "iss_sub", "iss": iss, "sub": sub}:
            return (iss, sub) == (claims["iss"], claims["sub"])
        case {"format": "jwt_id", "iss": iss, "jti": jti}:  # the token, or one that it was made from
            digest = jwt.utils.base64url_encode(hashlib.sha256(jti.encode()).digest()).decode()
            return iss == claims["iss"] and (jti == claims["jti"] or digest in claims.get("lineage", []))
        case {"format": "complex", "tenant": {"id": tenant}, **parts}:
            application = parts.pop("application", {"id": claims["client_id"]})["id"]
            acts = application in actors(claims)
            return tenant == claims["tenant"] and acts and all(matches(part, claims) for part in parts.values())
    return False


def actors(claims: dict) -> list[str]:
    """Everybody who has a hand in a token: its client, and who acts for its subject."""
    found, act = [claims["client_id"]], claims.get("act")
    while act:
        found.append(act["sub"])
        act = act.get("act")
    return found

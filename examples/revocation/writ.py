"""Verifies access tokens offline, and refuses those that have been revoked. Copy it beside your ASGI application.

Whether a token was revoked before it expires stands in the issuer's status list (draft-ietf-oauth-status-list): one small
download for all tokens, good for its `ttl`. Where no list can be had the answer is 503: a token whose state is unknown is
not accepted. `signals.py` hears of revocations sooner, and of those of single tokens.
"""

import asyncio
import time
import zlib

import httpx2 as httpx
import jwt

LEEWAY, KEYS_PAUSE, MOST_BYTES = 30, 30, 1 << 20
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class Refused(Exception):
    """The token is not valid here."""


class Writ:
    """One issuer, as the resource server of `audience` sees it."""

    def __init__(self, issuer: str, audience: str):
        self.issuer, self.audience, self.signals = issuer, audience, None
        self.http = httpx.AsyncClient(timeout=30)
        self.lock = asyncio.Lock()
        self.keys, self.keys_read = {}, float("-inf")
        self.lists: dict[str, tuple[float, int, bytes]] = {}

    async def verify(self, token: str) -> dict:
        """The claims of an access token that holds now."""
        claims = await self.decode(token, "at+jwt", ["exp", "iat", "sub", "client_id", "jti"], self.audience)
        if self.signals and self.signals.revoked(claims):
            raise Refused("it has been revoked")
        if await self.status(claims) != 0:
            raise Refused("it has been revoked or suspended")
        return claims

    async def decode(self, token: str, typ: str, required: list[str], audience: str | None = None) -> dict:
        """The claims of anything that the issuer has signed."""
        options = {"require": required, "verify_aud": audience is not None}
        expected = {"issuer": self.issuer, "audience": audience, "leeway": LEEWAY, "options": options}
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != typ:
                raise Refused("it is another kind of token")
            return jwt.decode(token, await self.key(header.get("kid")), ["ES256", "RS256"], **expected)
        except jwt.PyJWTError:
            raise Refused("it is forged, expired or for somebody else") from None

    async def key(self, kid: str | None) -> jwt.PyJWK:
        if kid not in self.keys and time.monotonic() > self.keys_read + KEYS_PAUSE:
            answer = (await self.get(f"{self.issuer}/jwks.json")).raise_for_status()
            self.keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(answer.json()).keys}
            self.keys_read = time.monotonic()
        if kid not in self.keys:
            raise Refused("its key is unknown")
        return self.keys[kid]

    async def get(self, url: str, **request) -> httpx.Response:
        """A GET, sent once more if its connection broke: a server may close an idle one just when it is used again."""
        try:
            return await self.http.get(url, **request)
        except BROKEN:
            return await self.http.get(url, **request)

    async def status(self, claims: dict) -> int:
        """What the status list says: 0 valid, 1 revoked, 2 suspended."""
        try:
            idx, uri = (claims["status"]["status_list"][name] for name in ("idx", "uri"))
        except (KeyError, TypeError):
            raise Refused("it has no place in a status list") from None
        if not uri.startswith(f"{self.issuer}/"):
            raise Refused("its status list is not its issuer's")
        async with self.lock:
            if time.monotonic() >= self.lists.get(uri, (float("-inf"),))[0]:
                self.lists[uri] = await self.read_list(uri)
        _, bits, states = self.lists[uri]
        at, shift = divmod(idx * bits, 8)
        if not 0 <= at < len(states):
            raise Refused("its status list has no such place")
        return states[at] >> shift & ((1 << bits) - 1)

    async def read_list(self, uri: str) -> tuple[float, int, bytes]:
        """A status list: until when it is good, how many bits an entry has, and the entries."""
        asked = time.monotonic()
        answer = await self.get(uri, headers={"Accept": "application/statuslist+jwt"})
        claims = await self.decode(answer.raise_for_status().text, "statuslist+jwt", ["exp", "iat", "sub"])
        if claims["sub"] != uri:
            raise Refused("its status list is another one")
        packed = jwt.utils.base64url_decode(claims["status_list"]["lst"])
        states = zlib.decompressobj().decompress(packed, MOST_BYTES)
        return asked + claims["ttl"], claims["status_list"]["bits"], states


class RequireToken:
    """ASGI middleware: lets no request in without a token that holds, and leaves its claims in `scope["state"]`."""

    def __init__(self, app, writ: Writ):
        self.app, self.writ = app, writ

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return await refuse(send, 401, "Bearer")
        try:
            claims = await self.writ.verify(token.strip())
            if "cnf" in claims:  # worth nothing without a proof of the key (DPoP), which is not read here
                raise Refused("it is bound to a key")
        except Refused as error:
            return await refuse(send, 401, f'Bearer error="invalid_token", error_description="{error}"')
        except httpx.HTTPError:
            return await refuse(send, 503)
        scope.setdefault("state", {})["claims"] = claims
        await self.app(scope, receive, send)


async def refuse(send, status: int, challenge: str | None = None) -> None:
    headers = [(b"www-authenticate", challenge.encode())] if challenge else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body"})

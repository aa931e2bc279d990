"""docs/mechanisms.md shows a request and a real answer for every mechanism: each is asked again here, and the page has to
say the same. What differs from run to run is written as `…`. WRIT_WRITE_DOCS=1 writes the answers into the page instead.
"""

import base64
import json
import os
import re
import time
import uuid
import zlib
from urllib.parse import urlsplit

import jwt
from hub import AT_HOME, READ, ROOT, Client, eventually, free_port
from outsiders import ASSERTION_TYPE, Key

PAGE = ROOT / "docs" / "mechanisms.md"
TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SPIFFE_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
TIMES = {"iat", "exp", "at", "created_at", "updated_at", "client_id_issued_at"}
WIDTH = 110


def decoded(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


class Mask:
    """Takes out what is another each time; names stay names."""

    def __init__(self, names: dict[str, str]):
        self.names = names

    def text(self, text: str) -> str:
        for real, name in self.names.items():
            text = text.replace(real, name)
        text = re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "eyJ…", text)
        text = re.sub(r"\b(client|user)_[0-9a-hjkmnp-tv-z]{26}\b", r"\1_…", text)
        text = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "…", text)
        return re.sub(r"(?<![\w-])(?:[\w-]{43}|[\w-]{22})(?![\w-])", "…", text)

    def json(self, value, key: str = ""):
        match value:
            case dict():
                return {self.text(name): self.json(one, name) for name, one in value.items()}
            case list():
                return [self.json(one, key) for one in value]
            case str():
                return self.text(value)
            case int() if key in TIMES or value > 1_000_000_000:
                return 1795000000
            case int() if key == "expires_in":
                return -(-value // 10) * 10  # what is left of a life, less the second or two that the test took
            case int() if key in ("idx", "status_list_index"):
                return 7
        return value


class Desk:
    """Makes examples: sends a request and writes down what came."""

    def __init__(self, writ, names: dict[str, str]):
        self.writ, self.mask = writ, Mask(names)
        self.examples: dict[str, str] = {}

    def note(self, name: str, *parts: str):
        self.examples[name] = "\n\n".join(part.strip() for part in parts)

    def answer(self, status: int, body) -> str:
        return f"{status}\n{json.dumps(self.mask.json(body), indent=2, ensure_ascii=False)}" if body != "" else str(status)

    def form(self, name: str, path: str, form: dict, client: Client | None = None, headers=None, expect=200):
        """A form post; answers the response."""
        request = client.authenticate(form) if client else {"data": form}
        sent = {"CF-Connecting-IP": AT_HOME, **(headers or {})}
        answer = self.writ.http.post(f"{self.writ.issuer}/{path}", headers=sent, **request)
        assert answer.status_code == expect, f"{name}: {answer.status_code} {answer.text}"
        lines = [f"POST {urlsplit(self.writ.issuer).path}/{path}"]
        lines += ["Authorization: Basic …"] if "auth" in request else []
        lines += [f"{field}: {self.mask.text(value)}" for field, value in (headers or {}).items()]
        body = "\n&".join(f"{field}={self.mask.text(str(value))}" for field, value in request["data"].items())
        if answer.headers.get("content-type", "").startswith("application/json"):
            got = answer.json()
        else:
            got = answer.text and self.mask.text(answer.text)
        self.note(name, "\n".join(lines), body, self.answer(answer.status_code, got))
        return answer

    def admin(self, name: str, method: str, path: str, body=None, expect=200, show=lambda body: body):
        """An admin request; answers its JSON."""
        answer = self.writ.admin(method, path, expect, **({"json": body} if body is not None else {}))
        got = answer.json()
        sent = [json.dumps(self.mask.json(body), indent=2, ensure_ascii=False)] if body is not None else []
        head = f"{method} {urlsplit(self.writ.issuer).path}/admin/{self.mask.text(path)}\nAuthorization: Bearer …"
        self.note(name, head, *sent, self.answer(answer.status_code, show(got)))
        return got

    def contents(self, name: str, token: str):
        """What the token of an example says."""
        self.note(name, json.dumps(self.mask.json(decoded(token)), indent=2, ensure_ascii=False))


class Provider:
    """An outside issuer whose keys are registered with it, so that nothing need be fetched."""

    def __init__(self):
        self.issuer, self.key = f"https://idp-{uuid.uuid4().hex[:8]}.example", Key()

    def token(self, subject: str, audience: str, **claims) -> str:
        return self.key.sign({"iss": self.issuer, "sub": subject, "aud": audience, **claims})


def test_the_page_shows_what_every_mechanism_answers(writ, accounts):
    provider = Provider()
    resource, inbox = f"http://localhost:{free_port()}/mcp", f"http://localhost:{free_port()}/agent"
    names = {writ.issuer: "https://id.example/t/main", urlsplit(writ.issuer).netloc: "id.example"}
    names |= {resource: "https://mcp.example/mcp", inbox: "https://agent.example", provider.issuer: "https://idp.example"}
    desk = Desk(writ, names)
    for uri, name in ((resource, "Warehouse"), (inbox, "Agent B")):
        scopes = [{"name": READ, "description": "Read rows of a table", "tool": "bigquery_read"}]
        writ.admin("POST", "resources", 201, json={"resource": uri, "name": name, "scopes": scopes})
    writ.policy("mechanisms", f'permit(principal, action == Action::"issue", resource in Resource::"{resource}");')
    writ.policy("mechanisms-inbox", f'permit(principal, action == Action::"issue", resource in Resource::"{inbox}");')
    ask = {"grant_type": "client_credentials", "resource": resource, "scope": READ}

    key = Key()
    signer = writ.register(
        "signer", token_endpoint_auth_method="private_key_jwt", jwks=key.jwks, allowed_resources=[resource]
    )
    said = {"client_assertion_type": ASSERTION_TYPE}
    claims = {"iss": signer.client_id, "sub": signer.client_id, "aud": writ.issuer}
    eventually(lambda: writ.http.post(f"{writ.issuer}/token", data=ask | said | {"client_assertion": key.sign(claims)}).is_success)
    desk.form("private_key_jwt", "token", ask | said | {"client_assertion": key.sign(claims)})

    body = {
        "issuer": provider.issuer, "name": "Build pipelines and staff", "preset": "oidc",
        "uses": ["workload", "jwt_bearer", "token_exchange", "id_jag"], "creates_users": True, "jwks": provider.key.jwks,
    }  # fmt: skip
    desk.admin("issuers", "POST", "issuers", body, 201)
    rules = [{"claim": "repository_owner_id", "equals": "4711"}, {"claim": "ref", "equals": "refs/heads/main"}]
    pipeline = desk.admin("workloads", "POST", "clients", {
        "client_name": "Deployment pipeline", "token_endpoint_auth_method": "federated_jwt",
        "grant_types": ["client_credentials", JWT_BEARER], "allowed_resources": [resource],
        "workload_identities": [{"issuer": provider.issuer, "rules": rules}],
    }, 201)  # fmt: skip
    workload = {"repository_owner_id": "4711", "repository": "shop/deploy", "ref": "refs/heads/main"}

    def of_pipeline():
        return provider.token("repo:shop/deploy:ref:refs/heads/main", writ.issuer, **workload)

    named = {"client_id": pipeline["client_id"]}
    eventually(
        lambda: writ.http.post(
            f"{writ.issuer}/token", data=ask | said | named | {"client_assertion": of_pipeline()}
        ).is_success
    )
    desk.form("federated_jwt", "token", ask | said | named | {"client_assertion": of_pipeline()})
    desk.form("workload_jwt_bearer", "token", {**ask, "grant_type": JWT_BEARER, "assertion": of_pipeline()})

    bundle = Key()
    trust_domain = f"spiffe://prod-{uuid.uuid4().hex[:8]}.example"
    names[trust_domain] = "spiffe://prod.example"
    trusted = {"issuer": trust_domain, "name": "Production", "preset": "spiffe", "uses": ["workload"]}
    trusted["jwks"] = {"keys": [bundle.public | {"use": "jwt-svid"}]}
    writ.admin("POST", "issuers", 201, json=trusted)
    spiffe_id = f"{trust_domain}/agents/reader"
    workload_of_spiffe = {"issuer": trust_domain, "rules": [{"claim": "sub", "equals": spiffe_id}]}
    svid = writ.register(
        "workload", token_endpoint_auth_method="spiffe_jwt", workload_identities=[workload_of_spiffe],
        allowed_resources=[resource],
    )  # fmt: skip
    proved = ask | {"client_assertion_type": SPIFFE_TYPE, "client_id": svid.client_id}

    def jwt_svid():
        return bundle.sign({"sub": spiffe_id, "aud": writ.issuer, "jti": None})

    eventually(lambda: writ.http.post(f"{writ.issuer}/token", data=proved | {"client_assertion": jwt_svid()}).is_success)
    desk.form("spiffe_jwt", "token", proved | {"client_assertion": jwt_svid()})

    agent = writ.register("reader", allowed_resources=[resource])
    proof_key = Key()

    def proof():
        header = {"typ": "dpop+jwt", "jwk": {n: v for n, v in proof_key.public.items() if n in ("kty", "crv", "x", "y")}}
        claims = {"htm": "POST", "htu": f"{writ.issuer}/token", "jti": str(uuid.uuid4()), "iat": int(time.time())}
        return jwt.encode(claims, proof_key.pem, "ES256", header)

    eventually(lambda: writ.token(agent, resource, READ).is_success)
    bound = desk.form("dpop", "token", ask, agent, {"DPoP": proof()})
    desk.contents("dpop_token", bound.json()["access_token"])

    delegated = {"allowed_resources": [inbox], "grant_types": [JWT_BEARER]}
    a = writ.register("agent A", "delegated", **delegated)
    b = writ.register(
        "agent B", "delegated", grant_types=["client_credentials", EXCHANGE],
        allowed_resources=[inbox, resource], serves=[inbox], tags=["verified"],
    )  # fmt: skip
    user = f"ada-{uuid.uuid4().hex[:6]}"
    names[user] = "ada"
    of_user = {"grant_type": JWT_BEARER, "resource": inbox, "scope": READ}

    def about_user():
        return of_user | {"assertion": provider.token(user, writ.issuer)}

    eventually(lambda: writ.http.post(f"{writ.issuer}/token", **a.authenticate(about_user())).is_success)
    for_b = desk.form("jwt_bearer", "token", about_user(), a).json()["access_token"]

    id_jag = {"typ": "oauth-id-jag+jwt"}
    granted = {
        "iss": provider.issuer, "sub": user, "aud": writ.issuer, "client_id": a.client_id, "resource": inbox, "scope": READ,
    }  # fmt: skip
    desk.form("id_jag", "token", of_user | {"assertion": provider.key.sign(granted, **id_jag)}, a)

    where = f'principal == Client::"{b.client_id}", action == Action::"exchange", resource in Resource::"{resource}"'
    writ.policy("mechanisms-exchange", f"permit({where}) when {{ context has subject }};")
    own = {"grant_type": "client_credentials", "resource": inbox, "scope": READ}
    actor = eventually(lambda: writ.http.post(f"{writ.issuer}/token", **b.authenticate(own)).json().get("access_token"))
    types = {"subject_token_type": f"{TOKEN_TYPE}access_token", "actor_token_type": f"{TOKEN_TYPE}access_token"}
    exchange = {"grant_type": EXCHANGE, "resource": resource, "scope": READ, "subject_token": for_b, "actor_token": actor}
    exchange |= types
    eventually(lambda: writ.http.post(f"{writ.issuer}/token", **b.authenticate(exchange)).is_success)
    exchanged = desk.form("token_exchange", "token", exchange, b).json()["access_token"]
    desk.contents("token_exchange_token", exchanged)

    elsewhere = f"https://files-{uuid.uuid4().hex[:6]}.example/mcp"
    names[elsewhere] = "https://files.example/mcp"
    writ.admin("POST", "resources", 201, json={
        "resource": elsewhere, "name": "Files", "authorization_server": "https://as.files.example",
        "scopes": [{"name": "files.read", "description": "Read files"}],
    })  # fmt: skip
    connector = writ.register("connector", "delegated", grant_types=[EXCHANGE], allowed_resources=[elsewhere])
    writ.policy(
        "mechanisms-id-jag",
        f'permit(principal == Client::"{connector.client_id}", action, resource in Resource::"{elsewhere}");',
    )

    def ask_for_id_jag():
        return {
            "grant_type": EXCHANGE, "requested_token_type": f"{TOKEN_TYPE}id-jag", "audience": "https://as.files.example",
            "resource": elsewhere, "scope": "files.read", "subject_token_type": f"{TOKEN_TYPE}id_token",
            "subject_token": provider.token(user, writ.issuer),
        }  # fmt: skip

    eventually(lambda: writ.http.post(f"{writ.issuer}/token", **connector.authenticate(ask_for_id_jag())).is_success)
    issued = desk.form("id_jag_issue", "token", ask_for_id_jag(), connector).json()["access_token"]
    desk.contents("id_jag_issued", issued)

    server = writ.register("warehouse", "resource_server", allowed_resources=[resource])
    eventually(lambda: writ.http.post(f"{writ.issuer}/introspect", **server.authenticate({"token": exchanged})).json()["active"])
    desk.form("introspection", "introspect", {"token": exchanged}, server)
    signed = {"Accept": "application/token-introspection+jwt"}
    answer = desk.form("introspection_signed", "introspect", {"token": exchanged}, server, signed)
    desk.contents("introspection_contents", answer.text)
    desk.form("revocation", "revoke", {"token": exchanged}, b)
    desk.form("introspection_revoked", "introspect", {"token": exchanged}, server)

    identity = next(i for i in writ.admin("GET", "identities", 200, params={"client": agent.client_id}).json()["items"])
    names[identity["id"]] = "identity"

    connection = f"warehouse-{uuid.uuid4().hex[:6]}"
    names[connection] = "warehouse"
    writ.connect(connection, accounts["bigquery-read"], ["https://www.googleapis.com/auth/bigquery.readonly"])

    def in_short(body):
        """Other tests leave more behind than a page should show."""
        scopes = [one for one in body["reach"]["scopes"] if one["resource"] == resource]
        connections = [one for one in body["reach"]["connections"] if one["name"] == connection]
        reach = {"scopes": scopes, "connections": connections}
        return body | {"reach": reach, "events": body["events"][:1], "chains": body["chains"][:1]}

    eventually(lambda: writ.admin("GET", f"identities/{identity['id']}", 200).json()["events"])
    body = writ.admin("GET", f"identities/{identity['id']}", 200).json()
    assert body["client"] == agent.client_id
    desk.note("identity", "GET /t/main/admin/identities/identity\nAuthorization: Bearer …", shape(desk.mask.json(in_short(body))))

    status = writ.http.get(decoded(bound.json()["access_token"])["status"]["status_list"]["uri"])
    listed = decoded(status.text)
    entries = zlib.decompress(base64.urlsafe_b64decode(listed["status_list"]["lst"] + "=="))
    assert status.headers["content-type"] == "application/statuslist+jwt" and entries
    listed["status_list"]["lst"] = "…"
    desk.note(
        "status_list", "GET /t/main/status-list", desk.answer(status.status_code, listed | {"ttl": listed["ttl"]})
    )

    events = f"{writ.issuer}/ssf"
    receiver = writ.register("receiver", "resource_server", serves=[resource], allowed_resources=[resource, events])
    bearer = eventually(lambda: writ.token(receiver, events, "ssf.manage").json().get("access_token"))

    def ssf(name: str, path: str, body: dict, expect: int) -> dict:
        sent = {"Authorization": f"Bearer {bearer}"}
        answer = writ.http.post(f"{events}/{path}", json=body, headers=sent)
        assert answer.status_code == expect, f"{name}: {answer.status_code} {answer.text}"
        head = f"POST /t/main/ssf/{desk.mask.text(path)}\nAuthorization: Bearer …"
        desk.note(name, head, shape(body), desk.answer(answer.status_code, answer.json()))
        return answer.json()

    poll = {"method": "urn:ietf:rfc:8936"}
    stream = ssf("stream", "streams", {"delivery": poll}, 201)
    desk.admin("kill", "POST", "kill", {"client": agent.client_id})
    sets = ssf("poll", f"streams/{stream['stream_id']}/poll", {"returnImmediately": True}, 200)["sets"]
    desk.contents("signal", next(iter(sets.values())))
    compare(desk.examples)


def shape(body) -> str:
    """JSON of which only the members matter."""
    return json.dumps(body, indent=2, ensure_ascii=False)


def compare(examples: dict[str, str]):
    page = PAGE.read_text()
    places = re.findall(r"<!-- example: (\w+) -->", page)
    assert sorted(places) == sorted(examples), "the page has a place for every example, and an example for every place"
    wanted = page
    for name, text in examples.items():
        block = f"<!-- example: {name} -->\n```\n{text}\n```\n"
        place = re.compile(rf"<!-- example: {name} -->\n(```\n.*?\n```\n)?", re.DOTALL)
        wanted = place.sub(lambda _: block, wanted, count=1)  # noqa: B023
    if os.environ.get("WRIT_WRITE_DOCS") == "1":
        PAGE.write_text(wanted)
    else:
        assert page == wanted, "the page says something else: WRIT_WRITE_DOCS=1 scripts/test e2e writes it anew"

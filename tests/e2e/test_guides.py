"""docs/guides/ say the truth: following one to the letter leads to its end."""

import json
import re
import shutil
import sqlite3
import ssl
import time
import uuid
from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import sha1
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import jwt
import pytest
import yaml
from guides import GUIDES, Shell, blocks, follow, matches
from hub import EXAMPLE, READ, ROOT, WRITE, Client, free_port
from outsiders import ASSERTION_TYPE, Key, Service


@pytest.fixture
def shell(tmp_path, writ):
    with Shell(tmp_path, {"WRIT_STATE": str(writ.state)}) as shell:
        yield shell


@pytest.fixture
def names(writ) -> dict[str, str]:
    """What is called otherwise here than in the guides: where Writ is, and names that no other test uses."""
    port = free_port()
    return {
        "policies/": f"policies/guide-{uuid.uuid4().hex[:8]}-",
        "http://localhost:8787/t/main": writ.issuer,
        "http://localhost:8787": writ.dev["origin"],
        "localhost:9000": f"localhost:{port}",
        '"127.0.0.1", 9000': f'"127.0.0.1", {port}',
        "port=9000": f"port={port}",
        "listen(9000": f"listen({port}",
    }


def guide(name: str) -> str:
    return (GUIDES / f"{name}.md").read_text()


def as_administrator(shell: Shell, names: dict[str, str]) -> None:
    """The shell that the guides begin with."""
    follow(shell, guide("README"), names)


def test_every_guide_is_listed_and_every_link_leads_somewhere():
    pages = sorted(GUIDES.glob("*.md"))
    index = guide("README")
    for page in pages:
        assert page.name == "README.md" or f"({page.name})" in index, page
    for page in [*pages, ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_the_journey_of_the_readme_prints_what_it_says(shell, names, accounts, folder):
    """With the agent and the server of the demonstration; the tests' stand-in for Google runs, and has made the key files."""
    as_administrator(shell, names)
    names = {
        "http://localhost:8787": names["http://localhost:8787"],
        ".venv/bin/python examples/": f"{ROOT}/.venv/bin/python {ROOT}/examples/",
        " examples/bigquery-mcp/keys/": f" {folder}/keys/",
    }
    follow(shell, (ROOT / "README.md").read_text(), names)


def test_the_shell_shows_what_writ_has_refused_and_renews_its_token(shell, writ, names):
    as_administrator(shell, names)
    printed, status = shell.run('admin "$WRIT/admin/clients" -d \'{"client_nam": "x"}\' | field client_id')
    assert status != 0 and "client_nam" in printed and "there is no client_id" in printed and "Traceback" not in printed
    printed, status = shell.run('token -u "nobody:wrong"')
    assert status != 0 and "invalid_client" in printed and "Traceback" not in printed
    printed, status = shell.run('ADMIN_TOKEN=over RENEW_AT=0; admin "$WRIT/admin/tenants/main" | field id')
    assert (printed, status) == ("main", 0)
    # A decision that a refusal names leads to its event.
    agent = writ.register("undecided", allowed_resources=[writ.dev["resources"][0]])
    decision = writ.token(agent, writ.dev["resources"][0], READ).json()["decision"]
    follow(shell, f"```console\n$ admin \"$WRIT/admin/events?decision={decision}\"\n{{…{decision}…}}\n```\n", names)


def test_the_example_names_the_cause_of_a_refused_scope(writ):
    """As it is in the event of the demonstration's reading agent, when that asks for the writing scope."""
    agent = writ.dev["agents"][0]
    client = Client(agent["client_id"], agent["client_secret"])
    assert writ.token(client, agent["resource"], WRITE).status_code == 400
    event = writ.event(type="token.refused", client=client.client_id, scope_asked=WRITE)
    shown = (EXAMPLE / "README.md").read_text().partition("token.refused&limit=1\n\n")[2].partition("\n```")[0]
    assert matches(shown, json.dumps({"items": [event], "next_cursor": None}, separators=(",", ":"))), event


def test_an_api_of_your_own_takes_only_tokens_from_writ(shell, names):
    follow(shell, guide("protect-an-api"), names)


def test_ten_lines_protect_an_mcp_server(shell, names, tmp_path):
    """In Python and in TypeScript; what the guide installs is installed here already."""
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    as_administrator(shell, names)
    follow(shell, guide("protect-an-mcp-server"), names)


def test_the_night_is_when_the_policy_says(shell, names):
    # Two hours that are neither now nor soon, whenever this test runs.
    first = (datetime.now(ZoneInfo("Europe/Berlin")).hour + 6) % 22
    names |= {"context.hour >= 2 && context.hour < 4": f"context.hour >= {first} && context.hour < {first + 2}"}
    as_administrator(shell, names)
    follow(shell, guide("policy-for-two-hours-at-night"), names)


def plainly(names: dict[str, str], *policies: str) -> dict[str, str]:
    """The names of guides that have paths below `policies` which are no policies: each policy by itself."""
    unique = uuid.uuid4().hex[:8]
    plain = {name: real for name, real in names.items() if name != "policies/"}
    for policy in policies:
        for around in ("policies/{}", '"id": "{}"', "  {}, line"):
            plain[around.format(policy)] = around.format(f"{policy}-{unique}")
    return plain


def test_a_refusal_says_which_condition_failed(shell, names):
    names = plainly(names, "reports")
    as_administrator(shell, names)
    follow(shell, guide("why-was-this-denied"), names)


def test_a_policy_is_tried_on_what_was_decided(shell, names):
    names = plainly(names, "orders", "no-cancel") | {"scripts/writ": str(ROOT / "scripts" / "writ")}
    as_administrator(shell, names)
    follow(shell, guide("try-a-policy-on-last-week"), names)


def test_what_an_agent_did_is_proved_offline_and_a_changed_proof_is_none(shell, names):
    names |= {"scripts/writ": str(ROOT / "scripts" / "writ")}
    as_administrator(shell, names)
    follow(shell, guide("prove-what-an-agent-did"), names)


def test_a_person_is_asked_before_production(shell, names):
    as_administrator(shell, names)
    follow(shell, guide("ask-a-person-before-production"), names)


def test_a_secret_is_rotated_without_an_outage(shell, names):
    as_administrator(shell, names)
    follow(shell, guide("rotate-a-secret"), names)


def test_an_identity_provider_is_registered_and_people_are_shown_it(shell, writ, names):
    as_administrator(shell, names)
    try:
        follow(shell, guide("sign-in"), names)
        shown = writ.admin("GET", "issuers/okta", 200).json()
        assert shown["uses"] == ["sign_in"] and "client_secret" not in shown
    finally:
        writ.admin("DELETE", "issuers/okta")


def test_a_service_is_connected_by_its_name_or_by_its_description(shell, writ, names, person):
    names |= {"connections/slack": "connections/guide-slack", 'Connection::\\"slack\\"': 'Connection::\\"guide-slack\\"', "connect/slack": "connect/guide-slack"}
    as_administrator(shell, names)
    # The demonstration person is made at the first sign-in.
    person.open(url=f"{writ.issuer}/me")
    person.signin()
    people, calling, rest = guide("connect-a-service").partition("## 5. Let an agent call")
    follow(shell, people, names)
    ada, _ = shell.run('echo "$ADA"')
    link = writ.admin("POST", "connections/guide-slack/connect", 200, json={"user": ada}).json()["connect_url"]
    for url in (link, f"{writ.issuer}/connect/guide-slack"):
        assert "Slack" in person.open(url=url)["heading"]
    asks, allows, uses = rest.partition("Open what it prints, and allow")
    assert calling and allows
    follow(shell, asks, names)
    person.open(url=shell.run('echo "$DEVICE" | field verification_uri_complete')[0])
    person.submit(press="button.main")
    person.consent(scopes=["connections:use"], duration="hour")
    follow(shell, uses, names)
    follow(shell, guide("add-a-service"), names)


def test_an_agent_keeps_no_key_of_a_service(shell, names):
    names |= {
        "connections/openai": "connections/guide-openai",
        'Connection::\\"openai': 'Connection::\\"guide-openai',
        '"connection":"openai"': '"connection":"guide-openai"',
    }
    as_administrator(shell, names)
    follow(shell, guide("replace-your-env"), names)


def test_a_backend_hears_of_connections_with_the_published_library(shell, names, outbound):
    origin = outbound[3]
    names |= {"http://127.0.0.1:9100": origin, '"127.0.0.1", 9100': f'"127.0.0.1", {urlsplit(origin).port}'}
    as_administrator(shell, names)
    follow(shell, guide("hear-of-connections"), names)


def test_the_trail_arrives_where_it_is_sent(shell, names, outbound):
    origin = outbound[3]
    names |= {"http://127.0.0.1:9101": origin, '"127.0.0.1", 9101': f'"127.0.0.1", {urlsplit(origin).port}'}
    as_administrator(shell, names)
    follow(shell, guide("send-the-trail-to-your-siem"), names)


def test_a_person_is_invited_once_at_a_time(shell, names):
    as_administrator(shell, names)
    follow(shell, guide("invite-people"), names)


class GitHub(Service):
    """GitHub as a job meets it: an issuer with a key set, and an endpoint that signs for the job."""

    def __init__(self, origin: str):
        super().__init__(urlsplit(origin).port)
        # Of an Enterprise Server, for github.com itself cannot be here.
        self.issuer, self.key = f"{origin}/{uuid.uuid4().hex[:8]}/_services/token", Key("RS256")

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        if path.endswith("/_services/token/.well-known/openid-configuration"):
            return 200, json.dumps({"issuer": self.issuer, "jwks_uri": f"{self.origin}/jwks"})
        if path == "/jwks":
            return 200, json.dumps(self.key.jwks)
        asked = parse_qs(urlsplit(path).query)
        assert asked["api-version"] == ["2.0"], path
        claims = {
            "iss": self.issuer,
            "aud": asked["audience"][0],
            "sub": "repo:your-account/your-repository:ref:refs/heads/main",
            "repository": "your-account/your-repository",
            "repository_owner": "your-account",
            "repository_owner_id": "4711",
            "ref": "refs/heads/main",
        }
        return 200, json.dumps({"value": self.key.sign(claims), "count": 1})


class McpServer(Service):
    """Whatever is asked, it answers."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, str]:
        return 200, "{}"


def test_a_workflow_of_github_gets_a_token_and_needs_no_secret(shell, writ, names, outbound):
    page = guide("github-actions")
    port = free_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    names |= {
        "https://mcp.example.com/mcp": resource,
        "https://id.example.com/t/main": writ.issuer,
    }
    scopes = [{"name": "stock:read", "description": "Read the stock"}]
    writ.admin("POST", "resources", 201, json={"resource": resource, "name": "Stock", "scopes": scopes})
    as_administrator(shell, names)
    with GitHub(outbound[2]) as github:
        names |= {"https://token.actions.githubusercontent.com": github.issuer}
        follow(shell, page, names)
        (workflow,) = [block for language, block in blocks(page) if language == "yaml"]
        job = yaml.safe_load(workflow)["jobs"]["report"]
        environment = job["env"] | {
            "WRIT": writ.issuer,
            "RESOURCE": resource,
            "GITHUB_ENV": "github.env",
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{github.origin}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of this job",
        }
        for name, value in environment.items():
            shell.run(f"export {name}='{value}'")
        # Each step of a job is a script of its own, which ends at the first command that fails.
        get, use = (f"bash -e -o pipefail <<'STEP'\n{step['run']}STEP" for step in job["steps"])
        printed, status = shell.run(get)
        assert status == 0 and printed.startswith("::add-mask::eyJ"), printed
        shell.run("export $(cat github.env)")
        with McpServer(port):
            assert shell.run(use) == ("{}", 0)
    claims = jwt.decode(printed.removeprefix("::add-mask::"), options={"verify_signature": False})
    assert (claims["aud"], claims["scope"]) == (resource, "stock:read")


def test_n8n_gets_a_token_with_a_secret_and_with_a_certificate(shell, writ, names):
    as_administrator(shell, names)
    follow(shell, guide("n8n"), names)
    # The assertion of n8n's certificate mode: `x5t` in the header, the token endpoint as the audience.
    client = json.loads((shell.folder / "n8n.client").read_text())["client_id"]
    now, url = int(time.time()), f"{writ.issuer}/token"
    claims = {"aud": url, "iss": client, "sub": client, "jti": str(uuid.uuid4()), "iat": now, "nbf": now, "exp": now + 300}
    x5t = urlsafe_b64encode(sha1(ssl.PEM_cert_to_DER_cert((shell.folder / "n8n.crt").read_text())).digest())
    header = {"typ": "JWT", "x5t": x5t.decode().rstrip("=")}
    assertion = jwt.encode(claims, (shell.folder / "n8n.key").read_text(), "RS256", header)
    form = {"grant_type": "client_credentials", "scope": "stock:read", "client_id": client}
    form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    answer = writ.http.post(url, data=form)
    assert answer.status_code == 200 and answer.json()["scope"] == "stock:read", answer.text


@pytest.fixture
def clone(tmp_path) -> dict[str, str]:
    """What the guides about deployments need of a clone, in a folder of its own; and how this machine stands in for Cloudflare: the
    databases of `--remote` are local ones. What was built before is what is deployed."""
    shutil.copy(ROOT / "wrangler.toml", tmp_path)
    for name in ("build", "migrations"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "build").write_text("#!/bin/sh\n")
    (tmp_path / "scripts" / "build").chmod(0o755)
    return {"npx wrangler": "wrangler", "--remote": "--local", "scripts/writ ": f"{ROOT / 'scripts' / 'writ'} "}


def test_a_deployment_an_upgrade_and_a_restored_backup_are_what_the_guides_say(tmp_path, clone):
    with Shell(tmp_path, {"CI": "true", "WRANGLER_SEND_METRICS": "false"}) as shell:
        follow(shell, guide("deploy"), clone)
        follow(shell, guide("upgrade"), clone)
        # Between the backup and its restoration the database is lost.
        saved, lost, restored = guide("back-up-and-restore").partition("## Restore\n")
        shell.run("wrangler kv key put credential/main/1 sealed --binding KV --local -c wrangler.production.toml --env=")
        follow(shell, saved, clone)
        shell.run("rm -r .wrangler")  # what a machine has instead of Cloudflare's storage
        follow(shell, lost + restored, clone)
        # Nothing of the first administrator was lost, and the numbers are beyond those that an isolate may know.
        found, _ = shell.run("wrangler d1 execute writ --local -c wrangler.production.toml --env= --json --command"
                             " 'SELECT epoch, client_name FROM tenants, (SELECT metadata ->> \"client_name\" AS client_name FROM clients)'")  # fmt: skip
        assert '"epoch": 1000000' in found and "First administrator" in found, found
        kept, _ = shell.run("wrangler kv key get credential/main/1 --binding KV --local -c wrangler.production.toml --env=")
        assert "sealed" in kept, kept


def test_a_monitor_reads_what_the_guide_watches_and_can_do_no_more(shell, writ, names):
    as_administrator(shell, names)
    follow(shell, guide("monitor"), names)
    printed, _ = shell.run('curl -s -o refused -w "%{http_code}" -H "authorization: Bearer $ADMIN_TOKEN" -X POST "$WRIT/admin/kill"')
    assert printed == "403"


def test_limits_are_those_of_the_source():
    rows = re.findall(r"^\| .* \| ([\d,]+)(?: bytes)? \| `(\w+)` in `([\w/.]+)` \|$", guide("limits"), re.MULTILINE)
    assert len(rows) > 20
    for bound, name, file in rows:
        (expression,) = re.findall(rf"\bconst {name}: \w+ = ([\d_* ]+);", (ROOT / file).read_text())
        assert eval(expression) == int(bound.replace(",", "")), f"{name} in {file}"


def test_the_cost_is_what_its_arithmetic_says():
    page = guide("cost")
    sums = re.findall(r"^\| [^*\n]* \| \$([\d.]+) \|$", page, re.MULTILINE)
    (total,) = re.findall(r"\*\*\$([\d.]+)\*\*", page)
    assert round(sum(map(float, sums)), 2) == float(total)
    (left, right) = re.search(r"The arithmetic: (.*) = ([\d.]+)\.", page).groups()
    assert round(eval(left.replace("×", "*")), 2) == float(right) == float(total)
    # A row in the table, one in each of its indexes that an issued token is in, and when its client last got one.
    trail = sqlite3.connect(":memory:")
    for migration in sorted((ROOT / "migrations" / "audit").glob("*.sql")):
        trail.executescript(migration.read_text())
    trail.execute("""INSERT INTO events (tenant, id, at, type, client, subject, refused, body, seq)
        VALUES ('main', '1', 1, 'token.issued', 'client_1', 'client_1', 0, '{}', 0)""")
    indexes = trail.execute("SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'events'").fetchall()
    conditions = [sql.partition(" WHERE ")[2] or "true" for (sql,) in indexes]
    written = sum(trail.execute(f"SELECT count(*) FROM events WHERE {condition}").fetchone()[0] for condition in conditions)
    assert f"| {1 + written + 1} | 50 million |" in page
    trail.close()

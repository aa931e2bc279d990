"""scripts/dev: what it prints can be pasted, what it seeds works."""

import json
import re
import subprocess

from hub import READ, WRITE, Client


def test_the_pasted_request_returns_a_token(writ):
    summary = writ.log.read_text()
    command = re.search(r"^\s*(curl (?:.*\\\n)*.*)$", summary, re.MULTILINE)
    assert command, f"no curl command in:\n{summary}"
    ran = subprocess.run(["bash", "-c", command.group(1)], capture_output=True, text=True, timeout=60)
    answer = json.loads(ran.stdout)
    assert answer["token_type"] == "Bearer" and answer["access_token"].count(".") == 2


def test_the_summary_names_what_to_try_with_people(writ):
    summary = writ.log.read_text()
    for program in ("examples/mcp-server/server.py", "examples/connections/agent.py --dev"):
        assert f".venv/bin/python {program}" in summary


def test_each_seeded_agent_gets_its_scopes_and_no_other(writ):
    resource = writ.dev["resources"][0]
    assert len(writ.dev["agents"]) >= 2
    for agent in writ.dev["agents"]:
        client = Client(agent["client_id"], agent["client_secret"])
        answer = writ.token(client, resource, f"{READ} {WRITE}", address="127.0.0.1")
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["scope"].split()) == set(agent["scope"].split())

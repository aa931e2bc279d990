"""What the example promises besides its README: the n8n page, and programs that say what they miss."""

import json
import os
import re
import subprocess
import sys

import httpx2 as httpx
import pytest
from hub import EXAMPLE, READ, blocks


def test_the_requests_of_the_n8n_page_work(writ, shop, mcp_server):
    page = (EXAMPLE / "n8n.md").read_text()
    additional = re.search(r"Additional Body Properties \| `(\{.*\})`", page).group(1)
    form = {"grant_type": "client_credentials", "scope": READ, **json.loads(additional), "resource": mcp_server}
    form |= {"client_id": shop.n8n.client_id, "client_secret": shop.n8n.client_secret}
    answer = writ.http.post(f"{writ.issuer}/token", data=form, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    token = answer.json()["access_token"]
    headers = dict(re.findall(r"Header `([\w-]+)` \| `(.+?)`", page))
    assert headers.keys() == {"Accept", "MCP-Protocol-Version"}
    headers |= {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    called = httpx.post(mcp_server, headers=headers, content=blocks(page, "json")[0], timeout=60)
    assert len(called.json()["result"]["structuredContent"]["rows"]) >= 3


@pytest.mark.parametrize(
    "program, arguments",
    [
        ("server.py", []),
        ("agent.py", ["read"]),
        ("connect.py", ["--bigquery-read", "a.json", "--bigquery-readwrite", "b.json"]),
    ],
)
def test_a_program_says_which_settings_are_missing(program, arguments, tmp_path):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WRIT_", "MCP_"))}
    clean["WRIT_STATE"] = str(tmp_path)

    def run(*more):
        command = [sys.executable, EXAMPLE / program, *arguments, *more]
        return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=60)

    without = run()
    assert without.returncode == 1
    assert "WRIT_ISSUER" in without.stderr and "--dev" in without.stderr and "Traceback" not in without.stderr
    too_early = run("--dev")
    assert too_early.returncode == 1
    assert "start scripts/dev first" in too_early.stderr and "Traceback" not in too_early.stderr

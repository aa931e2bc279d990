"""The README of the example says the truth: its commands run and print what it says."""

import os
import re
import shutil
import subprocess
from contextlib import ExitStack

from connect import CONNECTIONS
from hub import EXAMPLE, Process, blocks

SERVERS = {"google_standin.py", "server.py"}


def steps(page: str):
    """Each command of the console blocks with the output that the page promises."""
    for block in blocks(page, "console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = step.partition("\n")
            yield command, output


def test_the_commands_of_the_readme_print_what_it_says(writ, shop, outbound, accounts, dev_json, tmp_path):
    example = tmp_path / "bigquery-mcp"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns(".venv", "keys", "__pycache__"))
    standin, mcp = outbound[1].removeprefix("http://"), shop.resource.removeprefix("http://").removesuffix("/mcp")

    def here(text: str) -> str:
        text = text.replace("127.0.0.1:9010", standin).replace("localhost:8000", mcp)
        return text.replace("listening on port 8000", f"listening on port {mcp.split(':')[1]}")

    environment = {
        "WRIT_STATE": str(dev_json.parent),
        "STANDIN_PORT": standin.split(":")[1],
        "PATH": f"{example}/.venv/bin:{os.environ['PATH']}",
    }
    ran = 0
    with ExitStack() as running:
        try:
            for command, output in steps((EXAMPLE / "README.md").read_text()):
                command, expected = here(command), here(output)
                if any(server in command for server in SERVERS):
                    log = tmp_path / f"{ran}.log"
                    process = running.enter_context(Process(["bash", "-c", command], log, example, environment))
                    process.ready(lambda: log.read_text() == expected, within=60)
                else:
                    done = subprocess.run(
                        ["bash", "-c", command],
                        cwd=example,
                        env=os.environ | environment,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                        timeout=300,
                    )
                    assert done.stdout == expected, command
                ran += 1
        finally:
            for name, granted in CONNECTIONS.items():
                writ.connect(name, accounts[name], granted)
    assert ran > 10

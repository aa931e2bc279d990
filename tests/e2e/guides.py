"""Follows a guide: runs its `sh` and `console` blocks in one shell, in their order, and compares what is printed.

| block | what it is |
| --- | --- |
| `sh` | commands to paste; each block has to end well |
| `console` | `$ command` and what it prints; `…` stands for what differs from run to run |
| `shell` | what needs an account at Cloudflare, or goes on for ever: not run |
"""

import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from hub import ROOT

GUIDES = ROOT / "docs" / "guides"
END = "@@ end of a command:"


@dataclass
class Shell:
    """A shell in a folder of its own, as somebody has it who follows a guide."""

    folder: Path
    env: dict = field(default_factory=dict)

    def __enter__(self):
        path = f"{ROOT / '.venv' / 'bin'}:{ROOT / 'node_modules' / '.bin'}:{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["bash"],
            cwd=self.folder,
            env=os.environ | {"PATH": path} | self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_):
        # Ends what the guide started in the background, too.
        os.killpg(self.process.pid, 9)
        self.process.communicate()

    def run(self, command: str, within: float = 180) -> tuple[str, int]:
        """What the command prints, and its status."""
        late = threading.Timer(within, lambda: os.killpg(self.process.pid, 9))
        late.start()
        try:
            self.process.stdin.write(f"{command}\nprintf '\\n{END} %s\\n' $?\n")
            self.process.stdin.flush()
            printed = []
            for line in self.process.stdout:
                if line.startswith(END):
                    return "".join(printed).rstrip("\n"), int(line.removeprefix(END))
                printed.append(line)
            raise AssertionError(f"the shell ended, or took {within} s, at:\n{command}\n{''.join(printed)}")
        finally:
            late.cancel()


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page, with their languages."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(block: str):
    """Each command of a console block with the output that the page promises."""
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        while command.endswith("\\"):
            line, _, output = output.partition("\n")
            command += f"\n{line}"
        yield command, output.rstrip("\n")


def matches(expected: str, printed: str) -> bool:
    """Whether the output is the one of the page, where each `…` stands for any text and a new line for no text at all, too."""
    parts = (r"\s*".join(map(re.escape, re.split(r"\n\s*", part))) for part in expected.split("…"))
    pattern = ".*?".join(parts)
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


def follow(shell: Shell, page: str, names: dict[str, str]) -> None:
    """Follows a page; `names` are the names of the page with those that they have here."""

    def here(text: str) -> str:
        for name, real in names.items():
            text = text.replace(name, real)
        return text

    to_run = [(language, block) for language, block in blocks(page) if language in ("sh", "console")]
    assert to_run
    for language, block in to_run:
        if language == "sh":
            printed, status = shell.run(here(block))
            assert status == 0, f"{here(block)}\nended with {status}:\n{printed}"
        else:
            for command, expected in commands(here(block)):
                printed, _ = shell.run(command)
                # Events arrive a moment after the answer that they tell of.
                deadline = time.monotonic() + 20
                while "/admin/events" in command and not matches(expected, printed) and time.monotonic() < deadline:
                    time.sleep(0.5)
                    printed, _ = shell.run(command)
                assert matches(expected, printed), f"$ {command}\nshould print\n{expected}\nbut printed\n{printed}"

"""A person at a browser, and the programs of clients that wait for one: each a process that speaks lines of JSON."""

import json
import os
import subprocess
import threading
from collections import deque
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from hub import ROOT

NODE = ROOT / "node_modules" / ".bin" / "node"
FOLDER = Path(__file__).parent


class Lines:
    """A program that takes lines of JSON and answers with some. What it says besides is kept for a failure."""

    def __init__(self, *command, env: dict | None = None):
        pipe = subprocess.PIPE
        environment = os.environ | (env or {})
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            self.command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )
        self.said: deque[str] = deque(maxlen=200)
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stderr:
            self.said.append(line)

    def send(self, **message) -> None:
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def receive(self, within: float = 60) -> dict:
        """The next line. A program that says nothing in time is ended."""
        timer = threading.Timer(within, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, f"{self.command} ended or said nothing within {within} s:\n{''.join(self.said)}"
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


class Browser(Lines):
    """Chromium; `person` is one profile of it."""

    def __init__(self):
        super().__init__(NODE, FOLDER / "browser.mjs")
        self.lock = threading.Lock()

    def do(self, command: str, **wanted) -> dict:
        with self.lock:
            self.send(do=command, **wanted)
            answer = self.receive()
        assert "error" not in answer, f"{command} {wanted}: {answer['error']}"
        return answer

    def person(self, name: str, locale: str = "en-GB") -> "Person":
        return Person(self, name, locale)


class Person:
    """Somebody with a browser of their own: nothing is known of them at first."""

    def __init__(self, browser: Browser, name: str, locale: str):
        self.browser, self.name, self.locale = browser, name, locale

    def __getattr__(self, command: str):
        return lambda **wanted: self.browser.do(command, context=self.name, locale=self.locale, **wanted)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answered(url: str) -> dict[str, str]:
    """The parameters of a redirect to a client. Each comes once (RFC 6749 section 3.1)."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}

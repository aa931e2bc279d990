"""Stand-ins for GitHub, Slack and OpenAI on this machine, as strict as the services where their SDKs depend on it. They keep every request."""

import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from serving import Serving

GITHUB_TOKEN, SLACK_TOKEN, OPENAI_KEY = "gho_of_the_stand_in_0123456789", "xoxp-of-the-stand-in-0123456789", "sk-proj-of-the-stand-in-0123456789"
TITLES = ["The door squeaks", "No tea left", "The lamp flickers", "A draught", "The key sticks"]
CHANNELS = [{"id": f"C{n}", "name": name} for n, name in enumerate(("general", "random", "shop", "tea", "door"))]
WORDS = ["It ", "is ", "oiled ", "now", "."]
#: What lies between two events of a stream, in seconds.
PAUSE = 0.3


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for known, value in self.headers if known.lower() == name]
        assert len(found) < 2, f"{name} comes {len(found)} times"
        return found[0] if found else None


@dataclass
class Answer:
    """A status with headers and a body: JSON, or pieces of text that come one after another."""

    status: int
    body: object = None
    headers: dict = field(default_factory=dict)
    pieces: list[str] | None = None


class Services(Serving):
    """All three at one port: `/github`, `/slack/api` and `/openai/v1`."""

    def __init__(self, origin: str):
        self.origin, self.seen, self.issues = origin, [], list(TITLES)
        services = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_call(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                request = Seen(self.command, self.path, list(self.headers.items()), body)
                services.seen.append(request)
                service, _, rest = self.path.removeprefix("/").partition("/")
                answers = {"github": services.github, "slack": services.slack, "openai": services.openai}
                self.say(answers[service](request, f"/{rest}"))

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_call

            def say(self, answer: Answer):
                self.send_response(answer.status)
                headers = {"Content-Type": "application/json; charset=utf-8", **answer.headers}
                body = json.dumps(answer.body).encode()
                if answer.pieces is None:
                    headers["Content-Length"] = str(len(body))
                else:
                    headers |= {"Content-Type": "text/event-stream", "Connection": "close"}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if answer.pieces is None:
                    self.wfile.write(body)
                for piece in answer.pieces or []:
                    self.wfile.write(piece.encode())
                    self.wfile.flush()
                    time.sleep(PAUSE)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", urlsplit(origin).port), Handler)

    def github(self, request: Seen, line: str) -> Answer:
        """docs.github.com/rest: the credential, the agent, the version; pages by `Link`, under the repository's number; moved repositories."""
        url, base = urlsplit(line), f"{self.origin}/github"
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if request.header("authorization") not in (f"Bearer {GITHUB_TOKEN}", f"token {GITHUB_TOKEN}"):
            return Answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        if not request.header("user-agent"):
            return Answer(403, {"message": "Request forbidden by administrative rules."})
        if request.header("x-github-api-version") not in (None, "2022-11-28"):
            return Answer(400, {"message": "API version not supported"})
        issue = {"html_url": "https://github.com/acme/shop/issues/1"}
        if url.path in ("/repos/acme/shop/issues", "/repositories/1296269/issues"):
            if request.method == "POST":
                self.issues.append(json.loads(request.body)["title"])
                number = len(self.issues)
                headers = {"Location": f"{base}/repos/acme/shop/issues/{number}"}
                return Answer(201, {"number": number, "title": self.issues[-1], **issue}, headers)
            size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
            last = -(-len(self.issues) // size)
            at = lambda n: f"{base}/repositories/1296269/issues?{urlencode(query | {'page': n})}"  # noqa: E731
            links = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
            shown = [f'<{at(n)}>; rel="{rel}"' for rel, n in links.items() if 1 <= n <= last and n != page]
            found = self.issues[(page - 1) * size : page * size]
            return Answer(200, [{"number": n, "title": title, **issue} for n, title in enumerate(found)], {"Link": ", ".join(shown)})
        if url.path == "/repos/acme/old":
            return Answer(301, {"message": "Moved Permanently"}, {"Location": f"{base}/repositories/1296269"})
        if url.path == "/repositories/1296269":
            return Answer(200, {"id": 1296269, "full_name": "acme/shop"}, {"X-RateLimit-Remaining": "4999"})
        return Answer(404, {"message": "Not Found"})

    def slack(self, request: Seen, line: str) -> Answer:
        """docs.slack.dev/apis/web-api: every answer is 200 and says `ok`; arguments are a form or JSON; pages by cursor."""
        refuse = lambda error: Answer(200, {"ok": False, "error": error})  # noqa: E731
        media = (request.header("content-type") or "").partition(";")[0]
        if request.method != "POST" or media not in ("application/x-www-form-urlencoded", "application/json"):
            return refuse("invalid_post_type")
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        arguments = json.loads(request.body) if media == "application/json" else form
        if arguments.get("token") or request.header("authorization") != f"Bearer {SLACK_TOKEN}":
            return refuse("invalid_auth")
        match line:
            case "/api/auth.test":
                body = {"user": "ada", "user_id": "U1", "team": "Acme", "url": "https://acme.slack.com/"}
                return Answer(200, {"ok": True, **body}, {"X-OAuth-Scopes": "chat:write,channels:read"})
            case "/api/chat.postMessage":
                if arguments.get("channel") not in [channel["id"] for channel in CHANNELS]:
                    return refuse("channel_not_found")
                blocks = arguments.get("blocks", [])
                blocks = json.loads(blocks) if isinstance(blocks, str) else blocks
                message = {"text": arguments["text"], "user": "U1", "blocks": blocks}
                return Answer(200, {"ok": True, "channel": arguments["channel"], "ts": "1503435956.000247", "message": message})
            case "/api/conversations.list":
                begin, size = int(arguments.get("cursor") or 0), int(arguments.get("limit", 100))
                end = begin + size
                cursor = str(end) if end < len(CHANNELS) else ""
                return Answer(200, {"ok": True, "channels": CHANNELS[begin:end], "response_metadata": {"next_cursor": cursor}})
        return refuse("unknown_method")

    def openai(self, request: Seen, line: str) -> Answer:
        """platform.openai.com/docs/api-reference: bearer keys, JSON, server-sent events that end with `[DONE]`."""
        wrong = lambda status, text: Answer(status, {"error": {"message": text, "type": "invalid_request_error", "code": None}})  # noqa: E731
        if request.header("authorization") != f"Bearer {OPENAI_KEY}":
            return wrong(401, f"Incorrect API key provided: {request.header('authorization')}.")
        if line == "/v1/models" and request.method == "GET":
            return Answer(200, {"object": "list", "data": [{"id": "gpt-x", "object": "model", "created": 1, "owned_by": "acme"}]})
        if line != "/v1/chat/completions" or request.method != "POST":
            return wrong(404, "Unknown request URL")
        if request.header("content-type") != "application/json":
            return wrong(400, "We could not parse the JSON body of your request.")
        asked = json.loads(request.body)
        if asked.get("model") != "gpt-x":
            return wrong(404, "The model does not exist")
        head = {"id": "chatcmpl-1", "created": int(time.time()), "model": "gpt-x"}
        message = lambda **more: [{"index": 0, "finish_reason": None, **more}]  # noqa: E731
        if not asked.get("stream"):
            whole = message(message={"role": "assistant", "content": "".join(WORDS)}, finish_reason="stop")
            return Answer(200, {**head, "object": "chat.completion", "choices": whole}, {"x-request-id": "req_1"})
        chunks = [message(delta={"role": "assistant", "content": ""}), *(message(delta={"content": word}) for word in WORDS)]
        chunks.append(message(delta={}, finish_reason="stop"))
        events = [json.dumps({**head, "object": "chat.completion.chunk", "choices": choices}) for choices in chunks]
        return Answer(200, pieces=[f"data: {event}\n\n" for event in [*events, "[DONE]"]])

"""Stand-ins for where a trail is sent, at one port, each as strict as the real one: Splunk's HTTP Event Collector, Datadog's intake, an OTLP receiver,
Elasticsearch, S3 with botocore's own signatures, and an endpoint that verifies with the library of Standard Webhooks."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from serving import Serving
from standardwebhooks import Webhook

TOKEN, API_KEY, ACCESS_KEY, SECRET_KEY = "hec-" + "7" * 32, "dd" * 16, "AKIAEXAMPLE", "example/secret+key"
REGION, BUCKET, INDEX = "eu-central-1", "trail", "writ-audit"


@dataclass
class Siems(Serving):
    """What each has taken, in its order."""

    origin: str
    splunk: list = field(default_factory=list)
    datadog: list = field(default_factory=list)
    otlp: list = field(default_factory=list)
    elastic: dict = field(default_factory=dict)
    objects: dict = field(default_factory=dict)
    https: list = field(default_factory=list)
    #: What verifies at `/https`.
    signing: str = ""

    def __post_init__(self):
        siems = self

        class Handler(BaseHTTPRequestHandler):
            def any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, said = siems.answer(self.command, self.path, headers, body)
                text = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_PUT = any

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", urlsplit(self.origin).port), Handler)

    def answer(self, method: str, path: str, headers: dict, body: bytes) -> tuple[int, dict]:
        url = urlsplit(path)
        match method, url.path:
            case "POST", "/services/collector/event":
                return self.to_splunk(headers, body)
            case "POST", "/api/v2/logs":
                return self.to_datadog(headers, body)
            case "POST", "/v1/logs":
                return self.to_otlp(headers, body)
            case "POST", "/https":
                return self.to_https(headers, body)
            case "POST", bulk if bulk == f"/{INDEX}/_bulk":
                return self.to_elastic(url.query, headers, body)
            case "PUT", key if key.startswith(f"/{BUCKET}/"):
                return self.to_s3(key, headers, body)
        return 404, {"error": path}

    def to_splunk(self, headers: dict, body: bytes) -> tuple[int, dict]:
        if "authorization" not in headers:
            return 401, {"text": "Token is required", "code": 2}
        if not headers["authorization"].startswith("Splunk "):
            return 401, {"text": "Invalid authorization", "code": 3}
        if headers["authorization"] != f"Splunk {TOKEN}":
            return 403, {"text": "Invalid token", "code": 4}
        decoder, text, at, entries = json.JSONDecoder(), body.decode(), 0, []
        if not text:
            return 400, {"text": "No data", "code": 5}
        while at < len(text):
            entry, at = decoder.raw_decode(text, at)
            known = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
            if not isinstance(entry, dict) or set(entry) - known or not isinstance(entry.get("time"), int | float):
                return 400, {"text": "Invalid data format", "code": 6, "invalid-event-number": len(entries)}
            if "event" not in entry:
                return 400, {"text": "Event field is required", "code": 12}
            if entry.get("index", "main") not in ("main", "audit"):
                return 400, {"text": "Incorrect index", "code": 7}
            # Indexed fields are flat.
            if any(isinstance(value, dict | list) for value in entry.get("fields", {}).values()):
                return 400, {"text": "Error in handling indexed fields", "code": 15}
            entries.append(entry)
        self.splunk += entries
        return 200, {"text": "Success", "code": 0}

    def to_datadog(self, headers: dict, body: bytes) -> tuple[int, dict]:
        if headers.get("dd-api-key") != API_KEY:
            return 403, {"errors": [{"status": "403", "title": "Forbidden"}]}
        logs = json.loads(body)
        if headers["content-type"] != "application/json" or not isinstance(logs, list):
            return 400, {"errors": [{"status": "400"}]}
        if len(body) > 5_000_000 or len(logs) > 1_000 or any(len(json.dumps(log)) > 1_000_000 for log in logs):
            return 413, {"errors": [{"status": "413"}]}
        assert all(abs(log["timestamp"] / 1000 - time.time()) < 18 * 3600 for log in logs)
        self.datadog += logs
        return 202, {}

    def to_otlp(self, headers: dict, body: bytes) -> tuple[int, dict]:
        if headers.get("x-otlp-key") != API_KEY:
            return 401, {"code": 16, "message": "unauthenticated"}
        assert headers["content-type"] == "application/json"
        sent = json.loads(body)
        assert set(sent) == {"resourceLogs"}
        for resource in sent["resourceLogs"]:
            attributes(resource["resource"]["attributes"])
            for scope in resource["scopeLogs"]:
                assert set(scope["scope"]) <= {"name", "version", "attributes"}
                for record in scope["logRecords"]:
                    known = {"timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "eventName", "body", "attributes"}
                    assert set(record) <= known, record
                    # Whole numbers of 64 bits are texts, enumerations are numbers.
                    assert record["timeUnixNano"].isdigit() and record["observedTimeUnixNano"].isdigit()
                    assert isinstance(record["severityNumber"], int) and 1 <= record["severityNumber"] <= 24
                    any_value(record["body"])
                    attributes(record["attributes"])
                    self.otlp.append(record)
        return 200, {}

    def to_elastic(self, query: str, headers: dict, body: bytes) -> tuple[int, dict]:
        if headers.get("authorization") != f"ApiKey {API_KEY}":
            return 401, {"error": {"type": "security_exception"}, "status": 401}
        assert headers["content-type"] == "application/x-ndjson"
        if not body.endswith(b"\n"):
            return 400, {"error": {"type": "illegal_argument_exception", "reason": "The bulk request must be terminated by a newline [\\n]"}}
        lines = body.decode().split("\n")[:-1]
        assert len(lines) % 2 == 0
        items = []
        for action, source in zip(lines[::2], lines[1::2], strict=True):
            # A data stream takes `create` alone, and documents with a moment.
            (verb, target), document = *json.loads(action).items(), json.loads(source)
            assert verb == "create" and document["@timestamp"]
            there = target["_id"] in self.elastic
            self.elastic.setdefault(target["_id"], document)
            items.append({"create": {"_id": target["_id"], "status": 409 if there else 201}})
        wanted = parse_qs(query)["filter_path"][0].split(",")
        said = {"errors": any(item["create"]["status"] > 299 for item in items), "items": items}
        assert wanted == ["errors", "items.*.status"]
        return 200, said

    def to_https(self, headers: dict, body: bytes) -> tuple[int, dict]:
        # The library verifies one JSON document; what it signs is the same for several lines.
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signature = Webhook(self.signing).sign(headers["webhook-id"], at, body.decode())
        is_late = abs(time.time() - at.timestamp()) > 300
        if headers["content-type"] != "application/x-ndjson" or is_late or signature not in headers["webhook-signature"].split(" "):
            return 401, {}
        self.https += [json.loads(line) for line in body.decode().splitlines()]
        return 204, {}

    def to_s3(self, key: str, headers: dict, body: bytes) -> tuple[int, dict]:
        scheme, _, parts = headers.get("authorization", "").partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in parts.split(","))
        access, day, region, service, end = parts.get("Credential", "////").split("/")
        if (scheme, access, region, service, end) != ("AWS4-HMAC-SHA256", ACCESS_KEY, REGION, "s3", "aws4_request"):
            return 403, {"Code": "InvalidAccessKeyId"}
        signed, at = parts["SignedHeaders"].split(";"), headers["x-amz-date"]
        needed = {name for name in headers if name.startswith("x-amz-")} | {"host", "x-amz-date", "x-amz-content-sha256"}
        if not needed <= set(signed) or at[:8] != day or headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return 403, {"Code": "AccessDenied"}
        auth = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), service, region)
        request = AWSRequest("PUT", f"http://{headers['host']}{key}", {name: headers[name] for name in signed}, body)
        request.context["timestamp"] = at
        signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        if signature != parts["Signature"]:
            return 403, {"Code": "SignatureDoesNotMatch"}
        self.objects[key] = [json.loads(line) for line in body.decode().splitlines()]
        return 200, {}


def attributes(pairs: list) -> None:
    for pair in pairs:
        assert set(pair) == {"key", "value"}
        any_value(pair["value"])


def any_value(value: dict) -> None:
    """`AnyValue` in the JSON of OTLP: one member, named by its type."""
    assert len(value) <= 1, value
    for name, inner in value.items():
        match name:
            case "stringValue":
                assert isinstance(inner, str)
            case "boolValue":
                assert isinstance(inner, bool)
            case "intValue":
                assert isinstance(inner, str) and int(inner) is not None
            case "doubleValue":
                assert isinstance(inner, float)
            case "arrayValue":
                assert set(inner) == {"values"}
                for item in inner["values"]:
                    any_value(item)
            case "kvlistValue":
                assert set(inner) == {"values"}
                attributes(inner["values"])
            case _:
                raise AssertionError(value)

"""No long-lived secret leaves the vault, and no token enters the record. Runs last, over all that the others caused."""

import base64
import json
from pathlib import Path

import pytest

# These files are there to hold the development's own secrets.
MEANT_FOR_SECRETS = {"dev.json", "demo.json", "keys.json"}


def spellings(secret: str) -> set[bytes]:
    """`secret` as it is, in hexadecimal, and inside a Base64 text at each of its three alignments."""
    raw = secret.encode()
    found = {raw, raw.hex().encode()}
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        # The first and the last characters mix with the neighbours' bits.
        found |= {encoded[4:-4], encoded[4:-4].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


@pytest.fixture(scope="module")
def private_keys(accounts) -> set[bytes]:
    """A piece out of the middle of each private key, in every spelling."""
    pieces = [account["private_key"].splitlines()[12][8:48] for account in accounts.values()]
    assert all(len(piece) == 40 for piece in pieces)
    return set().union(*map(spellings, pieces))


@pytest.fixture(scope="module")
def issued(writ) -> dict[str, set[bytes]]:
    """Every access token that Writ gave to the tests, by its signature, and every client secret."""
    tokens, secrets = set(), set()
    for request, answer in writ.answers:
        body = answer[answer.rfind(b"]{") + 1 :]
        try:
            parsed = json.loads(body)
        except ValueError:
            continue
        if not isinstance(parsed, dict):
            continue
        if request.endswith("/t/main/token") and "access_token" in parsed:
            tokens.add(parsed["access_token"].rsplit(".", 1)[1].encode())
        if "client_secret" in parsed:
            secrets.add(parsed["client_secret"].encode())
    assert len(tokens) > 5 and len(secrets) > 3
    return {"tokens": tokens, "secrets": secrets}


def downstream_tokens(google) -> set[bytes]:
    tokens = {token.encode() for token in google.seen()["access_tokens"]}
    assert tokens
    return tokens


def files(folder: Path):
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in MEANT_FOR_SECRETS:
            yield path


def leaks(texts, needles: set[bytes]) -> list[str]:
    return [name for name, text in texts if any(needle in text for needle in needles)]


def test_the_search_finds_a_leak_in_every_spelling(private_keys, accounts, tmp_path):
    pem = accounts["bigquery-read"]["private_key"]
    for name, text in {
        "plain": pem.encode(),
        "json": json.dumps({"secret": pem}).encode(),
        "base64": base64.b64encode(b"?" + json.dumps({"secret": pem}).encode()),
        "base64url": base64.urlsafe_b64encode(b"??" + pem.encode()),
        "hex": pem.encode().hex().encode(),
    }.items():
        assert leaks([(name, text)], private_keys) == [name]


def test_no_answer_contains_a_private_key(writ, shop, private_keys):
    for name in ("bigquery-read", "bigquery-readwrite"):
        writ.admin("GET", f"connections/{name}", 200)
    for listing in ("connections", "clients", "resources", "policies", "events", "keys"):
        writ.admin("GET", listing, 200)
    assert len(writ.answers) > 50
    assert leaks(writ.answers, private_keys) == []


def test_no_event_contains_a_secret_or_a_token(writ, shop, private_keys, issued, google):
    texts = [(event["id"], json.dumps(event).encode()) for event in writ.events()]
    assert len(texts) > 50
    assert leaks(texts, private_keys | issued["tokens"] | issued["secrets"] | downstream_tokens(google)) == []


def test_no_secret_and_no_token_is_at_rest_in_plain_text(writ, shop, private_keys, issued, google):
    texts = [(str(path), path.read_bytes()) for path in files(writ.state)]
    assert any(b"bigquery-readwrite" in text for _, text in texts), "this is not where Writ keeps its state"
    assert leaks(texts, private_keys | issued["tokens"] | issued["secrets"] | downstream_tokens(google)) == []


def test_no_secret_and_no_token_is_in_the_log(writ, shop, private_keys, issued, google):
    logs = [writ.log] if writ.log else list(writ.state.rglob("*.log"))
    texts = [(str(path), path.read_bytes()) for path in logs]
    assert leaks(texts, private_keys | issued["tokens"] | issued["secrets"] | downstream_tokens(google)) == []


def test_the_mcp_server_logs_no_token(folder, private_keys, issued, google):
    texts = [(path.name, path.read_bytes()) for path in (folder / "mcp.log", folder / "standin.log")]
    assert leaks(texts, private_keys | issued["tokens"] | issued["secrets"] | downstream_tokens(google)) == []

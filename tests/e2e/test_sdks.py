"""The SDKs of services, whose base URL is a connection behind the proxy: they hold the agent's token, and the service gets the credential."""

import json
from collections.abc import Iterator

import openai
import pytest
from hub import eventually
from outsiders import javascript
from sdk_services import CHANNELS, GITHUB_TOKEN, OPENAI_KEY, PAUSE, SLACK_TOKEN, TITLES, WORDS, Services
from test_proxy import Caller

# As the catalogue describes them, but for where they are.
CONNECTIONS = {
    "octokit": {
        "proxy": {"base_url": "/github", "headers": {"x-github-api-version": "2022-11-28", "user-agent": "writ"}},
        "allow": [
            {"methods": ["GET", "POST"], "path": "/repos/acme/*/issues"},
            {"methods": ["GET"], "path": "/repos/acme/*"},
            # Where its links and its redirects lead.
            {"methods": ["GET"], "path": "/repositories/**"},
        ],
        "key": GITHUB_TOKEN,
    },
    "slack": {
        "proxy": {"base_url": "/slack/api"},
        "allow": [
            {"methods": ["POST"], "path": "/auth.test"},
            {"methods": ["POST"], "path": "/chat.postMessage"},
            {"methods": ["POST"], "path": "/conversations.list"},
        ],
        "key": SLACK_TOKEN,
    },
    "openai": {
        "proxy": {"base_url": "/openai/v1"},
        "allow": [{"methods": ["POST"], "path": "/chat/completions"}, {"methods": ["GET"], "path": "/models"}],
        "key": OPENAI_KEY,
    },
}
# What tells of the caller, of Writ or of the way between them.
CALLERS = ("cookie", "forwarded", "via", "referer", "origin", "x-real-ip", "true-client-ip", "dpop", "x-slack-user")


@pytest.fixture(scope="module")
def services(outbound):
    with Services(outbound[1]) as services:
        yield services


@pytest.fixture(scope="module")
def callers(writ, services) -> Iterator[dict[str, Caller]]:
    """An agent for each service, with a connection of its own."""
    callers = {}
    for sdk, wanted in CONNECTIONS.items():
        name = f"e2e-sdk-{sdk}"
        proxy = wanted["proxy"] | {"base_url": services.origin + wanted["proxy"]["base_url"]}
        config = {"service": {"name": sdk, "proxy": proxy}, "allow": wanted["allow"]}
        writ.put(f"connections/{name}", {"kind": "api_key", "config": config, "secret": {"api_key": wanted["key"]}})
        client = writ.register(f"e2e {sdk}", allowed_resources=[f"{writ.issuer}/connections"])
        may = f'permit(principal == Client::"{client.client_id}", action == Action::"lease", resource == Connection::"{name}");'
        writ.policy(f"{name}-lease", may)
        callers[sdk] = Caller(writ, client, name)
    probes = {"octokit": ("GET", "repositories/1"), "slack": ("POST", "auth.test"), "openai": ("GET", "models")}
    for sdk, (method, path) in probes.items():
        caller = callers[sdk]
        eventually(lambda caller=caller, m=method, p=path: caller.http.request(m, f"{caller.url}/{p}").status_code not in (401, 403))
    yield callers
    for caller in callers.values():
        caller.http.close()


def driven(services, caller: Caller, sdk: str, **more) -> dict:
    """What the SDK has seen. Every request came with the credential, and with nothing of the caller's."""
    del services.seen[:]
    said = javascript("sdks.mjs", sdk=sdk, url=caller.url, token=caller.token, **more)
    check(services, caller, sdk)
    assert CONNECTIONS[sdk]["key"] not in json.dumps(said)
    return said


def check(services, caller: Caller, sdk: str) -> None:
    assert services.seen
    for request in services.seen:
        assert request.header("authorization") == f"Bearer {CONNECTIONS[sdk]['key']}"
        everything = repr(request)
        assert caller.token not in everything and caller.token.split(".")[1] not in everything, request.path
        names = [name.lower() for name, _ in request.headers]
        # workerd itself says `cf-worker` of each call.
        told = [name for name in names if name in CALLERS or name.startswith(("writ-", "cf-", "x-forwarded-")) and name != "cf-worker"]
        assert not told, told


def test_octokit_pages_creates_and_follows_a_moved_repository_through_the_proxy(writ, callers, services):
    services.issues[:] = TITLES
    said = driven(services, callers["octokit"], "octokit")
    assert said["titles"] == TITLES
    assert (said["created"]["status"], said["created"]["title"]) == (201, "Written by octokit")
    assert said["created"]["location"].endswith("/connections/e2e-sdk-octokit/proxy/repos/acme/shop/issues/6")
    assert said["moved"] == {"name": "acme/shop", "url": f"{callers['octokit'].url}/repositories/1296269", "remaining": "4999"}
    assert said["forbidden"]["status"] == 403 and said["missing"]["status"] == 404, said
    assert not [request for request in services.seen if request.method == "DELETE"]
    # The pages after the first are where the links led: at the proxy.
    paths = [request.path for request in services.seen if request.method == "GET" and "issues" in request.path]
    assert len(paths) == 3 and paths[1].startswith("/github/repositories/1296269/issues?") and paths[2].endswith("page=3"), paths


def test_slacks_client_posts_pages_and_is_told_of_errors_through_the_proxy(callers, services):
    said = driven(services, callers["slack"], "slack")
    assert said["user"] == "ada" and said["scopes"] == ["chat:write", "channels:read"]
    assert said["message"]["text"] == "Oiled & done = 100 %" and said["message"]["blocks"][0]["text"]["text"] == "*oiled*"
    assert said["channels"] == [channel["name"] for channel in CHANNELS]
    assert said["nowhere"]["data"]["error"] == "channel_not_found"
    assert "403" in json.dumps(said["forbidden"]), said["forbidden"]
    assert not [request for request in services.seen if "chat.delete" in request.path]


def test_openais_client_streams_through_the_proxy(callers, services):
    said = driven(services, callers["openai"], "openai")
    assert (said["whole"], said["id"]) == ("".join(WORDS), "req_1")
    assert said["words"] == WORDS and said["models"] == ["gpt-x"]
    # It sees each word when it is said.
    assert said["spread"] > 1000 * PAUSE * (len(WORDS) - 2), said["spread"]
    assert said["missing"]["status"] == 404 and said["forbidden"]["status"] == 403, said


def test_openais_python_client_streams_through_the_proxy(callers, services):
    caller = callers["openai"]
    del services.seen[:]
    with openai.OpenAI(base_url=caller.url, api_key=caller.token, max_retries=0) as client:
        asked = {"model": "gpt-x", "messages": [{"role": "user", "content": "Is the door oiled?"}]}
        chunks = client.chat.completions.create(**asked, stream=True)
        assert [word for chunk in chunks if (word := chunk.choices[0].delta.content)] == WORDS
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**asked | {"model": "gpt-0"})
    check(services, caller, "openai")


def test_a_key_of_the_services_is_refused_and_a_wrong_credential_is_not_told(writ, callers, services):
    """The SDK of somebody who puts the service's own key in, and a connection whose key is wrong: the answer has neither."""
    caller = callers["openai"]
    del services.seen[:]
    answer = caller.http.get(f"{caller.url}/models", headers={"Authorization": f"Bearer {OPENAI_KEY}"})
    assert answer.status_code == 401 and not services.seen
    current = writ.admin("GET", "connections/e2e-sdk-openai", 200)
    config = current.json()["config"]
    wrong = "sk-proj-of-somebody-else-9876543210"
    writ.put("connections/e2e-sdk-openai", {"kind": "api_key", "config": config, "secret": {"api_key": wrong}})
    try:
        said = eventually(lambda: (answer := caller.http.get(f"{caller.url}/models")).status_code == 401 and answer)
        assert wrong not in said.text and "Incorrect API key provided: Bearer ****" in said.json()["error"]["message"]
    finally:
        writ.put("connections/e2e-sdk-openai", {"kind": "api_key", "config": config, "secret": {"api_key": OPENAI_KEY}})

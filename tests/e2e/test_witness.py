"""A witness cosigns the log of a tenant, and a proof without it is not taken."""

import subprocess

import httpx2 as httpx
import pytest
from hub import ROOT, eventually
from witness import Witness

pytestmark = pytest.mark.split


@pytest.fixture
def witness(writ, outbound):
    with Witness(outbound[3]) as witness:
        shown = writ.admin("GET", "tenants/main", 200)
        body = {key: shown.json()[key] for key in ("name", "zone", "settings")}
        settings = body["settings"] | {"log_witnesses": [{"url": witness.origin, "key": witness.vkey}]}
        writ.admin("PUT", "tenants/main", 200, json=body | {"settings": settings}, headers={"If-Match": "*"})
        yield witness
        writ.admin("PUT", "tenants/main", 200, json=body, headers={"If-Match": "*"})


def test_the_log_is_cosigned_within_minutes_and_a_proof_without_its_witness_is_refused(writ, witness, tmp_path):
    log = f"{writ.issuer}/log"
    key = eventually(lambda: (answer := httpx.get(f"{log}/key")).status_code == 200 and answer.text)
    metadata = httpx.get(f"{writ.issuer}/.well-known/oauth-authorization-server").json()
    assert metadata["writ_event_log"] == log
    witness.trust(key)
    client = writ.register("witnessed")
    event = eventually(
        lambda: next(iter(writ.admin("GET", f"events?target={client.client_id}", 200).json()["items"]), None)
    )

    def asked(check):
        """What `check` says once the cron has asked the witness: a minute later if it was asked before it knew the log."""

        def once():
            writ.cron()
            return check()

        return eventually(once, within=240, every=2)

    note = asked(lambda: (answer := httpx.get(f"{log}/cosigned")).status_code == 200 and answer.text)
    assert f"\n— {witness.name} " in note
    assert 200 in witness.answers

    def proof() -> str:
        return writ.admin("GET", f"events/{event['id']}/proof", 200).text

    path = tmp_path / "event.tlog-proof"
    path.write_text(asked(lambda: f"\n— {witness.name} " in (text := proof()) and text))

    def verify(vkey: str) -> subprocess.CompletedProcess:
        words = ["scripts/writ", "verify", str(path), f"--key={key.strip()}", f"--witness={vkey}"]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    done = verify(witness.vkey)
    assert done.returncode == 0 and witness.vkey in done.stdout, done.stderr
    [state] = writ.admin("GET", "log/witnesses", 200).json()["witnesses"]
    assert (state["name"], state["attempts"]) == (witness.name, 0)

    # Another witness was not there.
    with Witness("http://127.0.0.1:0", "other.example") as other:
        assert "other.example has not cosigned" in verify(other.vkey).stderr

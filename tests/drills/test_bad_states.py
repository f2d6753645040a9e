"""States that no daemon leaves behind on purpose, and what becomes of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import requests

from narrator_daemon.catalogue import BESIDE, Record, files_of
from narrator_daemon.emulator import Fault, LocalFirebase
from tests.actors import Daemon, Frontend, wait_until
from tests.bad_machine import BadMachine

Start = Callable[..., Daemon]
TEXT = "A text that is long enough to be worth reading aloud."
OTHER = "Another text, which came while the first was being read."
TTL = 3
SHORT_LIVED = {
    "CLAIMS__LEASE_TTL_SECONDS": TTL,
    "CLAIMS__BEAT_SECONDS": 0.5,
    "CLAIMS__RECONCILE_SECONDS": 1,
    "WATERMARK__SELF_CHECK": "false",
}
CLAIM = {"token": "0" * 32, "owner": "gone", "attempt": 2, "inputHash": "h", "take": 1}


def objects(firebase: LocalFirebase) -> list[str]:
    listing = f"{firebase.endpoints['storage_url']}/storage/v1/b/{firebase.endpoints['bucket']}/o"
    return [item["name"] for item in requests.get(listing, timeout=5).json().get("items", [])]


def named(book: Record) -> list[str]:
    """All the objects that a book names, in the bucket's order."""
    beside = [str(file["path"]) for field in BESIDE for file in files_of(book, field).values()]
    return sorted([book["narrativeAudioPath"], *beside])


def hold_uploads(firebase: LocalFirebase) -> int:
    return firebase.faults.add(Fault("slow", "storage", method="POST|PUT", seconds=3))


def test_claims_and_leases_that_belong_to_nobody(frontend: Frontend, start_daemon: Start) -> None:
    claims = {
        "no claim": None,
        "a word for a claim": "mine",
        "a claim of the wrong shape": {"token": 17, "attempt": "often"},
        "a claim without a lease": CLAIM,
    }
    for book_id, claim in claims.items():
        frontend.add(
            book_id,
            TEXT,
            narrativeAudioStatus="processing",
            narrativeAudioProgress=0.5,
            narrativeAudioClaim=claim,
        )
    frontend.add("asked for", TEXT, narrativeAudioStatus="requested", narrativeAudioClaim=CLAIM)
    frontend.add("cancelled", TEXT, narrativeAudioProgress=0.5, narrativeAudioClaim=CLAIM)
    leases = frontend.node("narrationLeases")
    leases.child("cancelled").child(CLAIM["token"]).set({"owner": "gone", "beat": 1})
    leases.child("no such book").child("1" * 32).set({"owner": "gone", "beat": 1})
    leases.child("no claim").child("2" * 32).set("nonsense")
    started = time.monotonic()
    daemon = start_daemon(**SHORT_LIVED).wait_ready()
    for book_id in [*claims, "asked for"]:
        book = frontend.wait_for(book_id, "ready")
        assert "narrativeAudioClaim" not in book
        assert "narrativeAudioProgress" not in book
    assert time.monotonic() - started > TTL
    wait_until(lambda: leases.get() is None, "the leases to go")
    assert frontend.book("cancelled") == {"title": "cancelled", "narrative": TEXT}
    assert frontend.book("no such book") is None
    attempts = {e["book"]: e["attempt"] for e in daemon.events if e["event"] == "claimed"}
    assert attempts == dict.fromkeys([*claims, "asked for"], 1)


class TestOverwrittenInWork:
    """A frontend sets the whole book, and with it away what the daemon keeps there."""

    def test_and_asked_for(
        self, firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
    ) -> None:
        daemon = start_daemon(**SHORT_LIVED).wait_ready()
        slow = hold_uploads(firebase)
        frontend.add_requested("b", TEXT)
        frontend.wait_for("b", "processing")
        wait_until(lambda: firebase.faults.hits(slow) > 0, "the upload to be held")
        frontend.add("b", OTHER, narrativeAudioStatus="requested")
        firebase.faults.clear(slow)
        book = frontend.wait_for("b", "ready")
        assert book["narrativeAudioTextHash"] == sha256(OTHER.encode()).hexdigest()
        assert book["narrativeAudioTake"] == 1
        wait_until(lambda: objects(firebase) == named(book), "the first to go")
        wait_until(lambda: "fenced" in {event["event"] for event in daemon.events}, "the fence")

    def test_and_not_asked_for(
        self, firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
    ) -> None:
        daemon = start_daemon(**SHORT_LIVED).wait_ready()
        hold_uploads(firebase)
        frontend.add_requested("b", TEXT)
        frontend.wait_for("b", "processing")
        frontend.add("b", OTHER)
        wait_until(lambda: "fenced" in {event["event"] for event in daemon.events}, "the fence")
        assert frontend.book("b") == {"title": "b", "narrative": OTHER}
        assert objects(firebase) == []
        frontend.wait_for_no_lease()


def test_a_bucket_that_forgot_a_narration(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start
) -> None:
    start_daemon(**SHORT_LIVED).wait_ready()
    frontend.add_requested("b", TEXT)
    first = frontend.wait_for("b", "ready")["narrativeAudioPath"]
    bucket = f"{firebase.endpoints['storage_url']}/storage/v1/b/{firebase.endpoints['bucket']}/o"
    requests.delete(f"{bucket}/{first.replace('/', '%2F')}", timeout=5).raise_for_status()
    frontend.request("b")
    wait_until(lambda: frontend.book("b").get("narrativeAudioTake") == 2, "another take")
    book = frontend.wait_for("b", "ready")
    # What lay beside the first waits for the sweep.
    assert first not in objects(firebase) and set(named(book)) <= set(objects(firebase))
    assert requests.get(book["narrativeAudioUrl"], timeout=5).ok


def test_wall_clocks_that_are_an_hour_off(
    firebase: LocalFirebase, frontend: Frontend, start_daemon: Start, tmp_path: Path
) -> None:
    """Owners with wrong clocks are not robbed while they live, and replaced when they are dead."""
    held = firebase.faults.add(Fault("slow", "storage", method="POST|PUT", seconds=60))
    owners, claims = [], {}
    for name, hours in {"ahead": 1, "behind": -1}.items():
        machine = BadMachine(tmp_path / name)
        machine.set_clock(3600 * hours)
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in machine.environment.items():
                patch.setenv(variable, value)
            owners.append(start_daemon(**SHORT_LIVED, DAEMON__BOOKS_AT_ONCE=1).wait_ready())
        frontend.add_requested(name, TEXT)
        claims[name] = frontend.wait_for(name, "processing")["narrativeAudioClaim"]
        # What others see is by the database's clock.
        assert abs(claims[name]["at"] / 1000 - time.time()) < 60
    other = start_daemon(**SHORT_LIVED).wait_ready()
    time.sleep(TTL + 2)
    for name, claim in claims.items():
        assert frontend.book(name)["narrativeAudioClaim"] == claim
    for owner in owners:
        owner.kill()
    firebase.faults.clear(held)
    for name in claims:
        frontend.wait_for(name, "ready")
    assert [e["attempt"] for e in other.events if e["event"] == "claimed"] == [2, 2]

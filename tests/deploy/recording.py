"""What a daemon with least privilege asks of the database, recorded from a real one.

A list written by hand would rot: whatever the daemon comes to write, the rules must allow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

from narrator_daemon import config
from narrator_daemon.clock import now_ms
from narrator_daemon.commands import retake, retry
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.query import Query
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.forgetting import Forgetter
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.settings import Registry
from tests.actors import Daemon, Frontend, wait_until
from tests.deploy.rules_table import CLAIM, Request

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy/firebase/database.rules.json"

_SETTINGS = {
    "FIREBASE__DATABASE_AUTH_UID": "narrator-daemon",
    "DAEMON__GRACE_SECONDS": 0.5,
    "CLAIMS__LEASE_TTL_SECONDS": 1.5,
    "CLAIMS__BEAT_SECONDS": 0.4,
    "CLAIMS__RECONCILE_SECONDS": 0.5,
    "WATERMARK__SELF_CHECK": "false",
    "FILES__FORMATS": "m4a opus mp3",
    "FILES__PREVIEW_FROM_CHARACTERS": 1,
    "FILES__PREVIEW_SECONDS": 10,
}
_CATALOGUE = {
    "authors": {"first": {"name": "Jane", "dates": {"born": 1775}}, "second": True},
    "tags": {"0": "novel", "1": "england"},
    "price": 3.5,
}


@contextmanager
def _recorded() -> Iterator[list[Request]]:
    """Everything that the daemon asks of a database in this process meanwhile."""
    asked: list[Request] = []
    may_write, may_read = Rules.may_write, Rules.may_read

    def write(rules: Rules, caller: Caller, root: Any, writes: Sequence[Any], now: int) -> bool:
        allowed = may_write(rules, caller, root, writes, now)
        if caller.auth is not None:
            laid = {"/".join(path): deepcopy(value) for path, value in writes}
            name = f"recorded: {', '.join(laid)} at {now}"
            auth, data = dict(caller.auth), deepcopy(root)
            asked.append(Request(name, auth, data, allowed, writes=laid, now=now))
        return allowed

    def read(
        rules: Rules, caller: Caller, root: Any, path: Any, now: int, query: Query | None = None
    ) -> bool:
        allowed = may_read(rules, caller, root, path, now, query)
        if caller.auth is not None:
            where = "/".join(path)
            asked.append(Request(f"reads {where}", dict(caller.auth), None, allowed, read=where))
        return allowed

    with mock.patch.object(Rules, "may_write", write), mock.patch.object(Rules, "may_read", read):
        yield asked


def record(folder: Path) -> list[Request]:
    """Let a daemon meet what daemons meet, and give what it asked, once each kind of read.

    Args:
        folder: an empty one, for the daemons' states and logs.
    """
    with (
        _recorded() as asked,
        LocalFirebase(rules=RULES, keep_alive_seconds=1.0) as firebase,
        Frontend(firebase.endpoints) as frontend,
    ):
        environment = firebase.environment()
        first = Daemon(environment, folder / "first", _SETTINGS)
        try:
            first.wait_ready()
            _narrations(frontend)
            _operators(environment, frontend)
            _given_back(firebase, frontend, first)
        finally:
            first.kill()
        return list({(r.name if r.read is None else r.read): r for r in asked}.values())


def _narrations(frontend: Frontend) -> None:
    frontend.add("emma", "Emma Woodhouse, handsome, clever, and rich.", **_CATALOGUE)
    frontend.request("emma", "ada")
    frontend.add_requested("long", "She was in a good humour, and sat down to read. " * 8)
    frontend.add_requested("number", 5)
    frontend.add("list", ["a", "b"], narrativeAudioRequestedBy={"who": "me"})
    frontend.request("list")
    # Their owners are dead: one with a claim as it should be, one with something else there.
    for book_id, claim in (("left", CLAIM), ("odd", {"x": {"y": 1}})):
        frontend.add(
            book_id,
            "It was left in the middle.",
            narrativeAudioStatus="processing",
            narrativeAudioProgress=0.5,
            narrativeAudioClaim=claim,
        )
    for book_id in ("emma", "left", "odd", "long"):
        frontend.wait_for(book_id, "ready")
    for book_id in ("number", "list"):
        frontend.wait_for(book_id, "failed")
    frontend.request("emma", "ada")
    wait_until(lambda: frontend.book("emma").get("narrativeAudioTake") == 2, "the second take")


def _operators(environment: dict[str, str], frontend: Frontend) -> None:
    """What the commands and the hourly work write."""
    variables = environment | {f"NARRATOR_{key}": str(value) for key, value in _SETTINGS.items()}
    with mock.patch.dict(os.environ, variables):
        settings = config.load(None)
        frontend.node("books", "number", "narrative").set("Five.")
        project = Project(settings)
        assert retry.request_named(project, ["number"]) == {"number": retry.ASKED}
        frontend.wait_for("number", "ready")
        try:
            store = AudioStore(project, settings.storage)
            retake.request(settings, "emma", [1])
            wait_until(lambda: frontend.book("emma").get("narrativeAudioTake") == 3, "the third")
            frontend.node("books", "emma", "narrativeAudioUrlExpiresAt").set(1)
            renewer = Renewer(project, store)
            assert renewer.round() == 1
            assert renewer.step() > 0
            Sweeper(project, store, clock=lambda: time.time() + 90_000).round()
            frontend.delete("number")
            keep = Registry(keep_days=1, remove_with_book=True)
            Forgetter(project, keep, now_ms=lambda: now_ms() + 90_000_000).round()
        finally:
            project.close()


def _given_back(firebase: LocalFirebase, frontend: Frontend, daemon: Daemon) -> None:
    """A bucket that is down, a cancelled book, and a stop in the middle."""
    shut = Fault("status", "storage", method="POST|PUT", path="upload", status=403)
    down = firebase.faults.add(shut)
    frontend.add_requested("waiting", "The bucket does not answer.")
    wait_until(
        lambda: "notBefore" in (frontend.book("waiting").get("narrativeAudioClaim") or {}),
        "a book to be given back",
    )
    firebase.faults.clear(down)
    frontend.wait_for("waiting", "ready", 60)
    slow = Fault("slow", "storage", method="POST|PUT", path="upload", seconds=30.0)
    firebase.faults.add(slow)
    for book_id in ("cancelled", "stopped"):
        frontend.add_requested(book_id, "The upload takes its time.")
        frontend.wait_for(book_id, "processing")
    frontend.cancel("cancelled")
    assert daemon.stop() == 0

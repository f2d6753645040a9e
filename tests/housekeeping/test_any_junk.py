"""One record of any shape, in any state, keeps nobody from doing what the others need."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon import catalogue
from narrator_daemon.claims import history
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.commands import status
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.minder import Minder
from narrator_daemon.housekeeping import reaper as reaping
from narrator_daemon.housekeeping.lookouts import Lookouts
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.queue import requesters
from narrator_daemon.queue.picking import Picker
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, MemoryStore

FIELDS = [
    value
    for name, value in vars(catalogue).items()
    if name.isupper() and isinstance(value, str) and value.startswith("narrative")
]
REQUESTED = {"narrative": "A", "narrativeAudioStatus": "requested"}
TOKEN = "0" * 32

leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    st.sampled_from(
        ["", " ", ".", "..", "/", "\0", "\ud800", "a" * 2000, "requested", "processing", TOKEN]
    ),
    st.text(max_size=8),
)
junk = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["token", "owner", "attempt", "take", "inputHash", "x", "at", "0"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
states = st.one_of(st.sampled_from(["requested", "processing", "ready", "failed", None]), junk)
near_claims = st.fixed_dictionaries(
    {
        "token": st.one_of(st.just("t1"), junk),
        "owner": st.one_of(st.just("w"), junk),
        "attempt": st.one_of(st.integers(0, 9), junk),
        "take": st.one_of(st.integers(1, 9), junk),
        "inputHash": st.one_of(st.just("0" * 64), junk),
    },
    optional={"requestedAt": junk, "notBefore": junk, "lastError": junk, "textHash": junk},
)
records = st.one_of(
    junk,
    st.builds(
        lambda state, fields, claim: (
            {"narrative": "A", **fields}
            | ({} if state is None else {"narrativeAudioStatus": state})
            | ({} if claim is None else {"narrativeAudioClaim": claim})
        ),
        states,
        st.dictionaries(st.sampled_from(FIELDS), junk, max_size=6),
        st.one_of(st.none(), near_claims),
    ),
)


class House:
    """Everything that goes round, over a database in memory."""

    def __init__(self) -> None:
        self.project = MemoryProject()
        self.store = MemoryStore()
        project: Any = self.project
        store: Any = self.store
        self.freed: list[str] = []
        self.waiting, self.refusals = Waiting(), Refusals()
        self.watch = LeaseWatch(45.0, longest_gap=30.0)
        self.leases = Leases(project, "w", 45.0)
        self.claims = Claims(
            project, Settings(), "voice", lambda *name: self.watch.dead(name), self.leases
        )
        self.reaper = Reaper(
            project,
            self.claims,
            self.leases,
            self.watch,
            "w",
            self.refusals,
            self.freed.append,
            Lookouts(project, "w", 10.0),
            45.0,
        )
        self.reconciler = Reconciler(project, self.waiting, self.reaper, 45.0, lambda: None)
        self.renewer = Renewer(project, store, clock=lambda: SERVER_NOW)
        self.sweeper = Sweeper(project, store, clock=lambda: SERVER_NOW / 1000)
        self.picker = Picker(project, Settings(), self.claims, self.waiting, self.refusals)

    def reap(self, *times: float) -> None:
        before = reaping.time.monotonic
        try:
            for now in times:
                reaping.time.monotonic = lambda now=now: now  # type: ignore[misc]
                self.reaper.round()
        finally:
            reaping.time.monotonic = before  # type: ignore[misc]

    def add_shown(self, book_id: str) -> str:
        """A narration whose URL expires soon; its path."""
        path = self.store.path(book_id, TOKEN)
        self.store.objects_by_path[path] = b""
        self.store.owners[path], self.store.created_at[path] = book_id, SERVER_NOW / 1000
        self.project.shelf[book_id] = {
            "narrativeAudioStatus": "ready",
            "narrativeAudioPath": path,
            "narrativeAudioUrl": "old",
            "narrativeAudioUrlExpiresAt": SERVER_NOW + 1,
        }
        return path


def check_all_get_on(house: House) -> None:
    """The good books beside whatever else there is get what they need."""
    shelf = house.project.shelf
    for book_id in ("a", "z"):
        house.add_shown(f"{book_id}-shown")
        shelf[f"{book_id}-asked"] = dict(REQUESTED)
        shelf[f"{book_id}-left"] = {
            **REQUESTED,
            "narrativeAudioStatus": "processing",
            "narrativeAudioClaim": {
                "token": f"dead-{book_id}",
                "owner": "dead",
                "attempt": 1,
                "giveBacks": 0,
                "inputHash": "0" * 64,
                "take": 1,
                "at": 1,
            },
        }
        orphan = house.store.path(f"{book_id}-shown", "1" * 32)
        house.store.objects_by_path[orphan] = b""
        house.store.owners[orphan] = f"{book_id}-shown"
        house.store.created_at[orphan] = SERVER_NOW / 1000 - 7200

    house.reconciler.round()
    house.reap(0, 20, 40, 60)
    assert {"a-left", "z-left"} <= set(house.freed)
    house.renewer.round()
    house.sweeper.round()
    for book_id in ("a", "z"):
        assert shelf[f"{book_id}-shown"]["narrativeAudioUrl"] != "old"
        path = house.store.path(f"{book_id}-shown", "1" * 32)
        assert path not in house.store.objects_by_path
    house.reconciler.round()
    claimed = set()
    for _ in range(50):
        attempted = house.picker.claim_next()
        if attempted is None:
            break
        if attempted.work is not None:
            claimed.add(attempted.book_id)
    assert {"a-asked", "z-asked"} <= claimed


@settings(max_examples=150, deadline=None)
@given(records)
def test_of_a_book(record: Any) -> None:
    house = House()
    house.project.shelf["m"] = record
    with structlog.testing.capture_logs():
        check_all_get_on(house)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["narrationLeases", "narrationWorkers", "narrationJobs", "narrationLimits"]),
    st.one_of(junk, st.dictionaries(st.sampled_from(["m", "a-left", "w"]), junk, max_size=3)),
)
def test_of_a_lease_a_worker_a_history_or_a_limit(node: str, value: Any) -> None:
    house = House()
    house.project.tree[node] = value
    with structlog.testing.capture_logs():
        check_all_get_on(house)


@settings(max_examples=100, deadline=None)
@given(records)
def test_of_a_book_in_work(record: Any) -> None:
    house = House()
    house.project.shelf.update(m=dict(REQUESTED), z=dict(REQUESTED))
    works = [house.claims.claim(book_id).work for book_id in ("m", "z")]
    assert None not in works

    class Job:
        def __init__(self, work: Any) -> None:
            self.work = work

    in_work = InWork(lambda: 2)
    for work in works:
        job: Any = Job(work)
        in_work.add(job)
    minder = Minder(house.claims, in_work)
    minder.look()
    house.project.shelf["m"] = record
    del house.project.shelf["z"]["narrativeAudioStatus"]
    with structlog.testing.capture_logs():
        minder.look()
    assert works[1] is not None and works[1].stopped is not None


@given(junk, st.integers(0, 10**13), st.integers(1, 5))
def test_of_grants_and_histories(value: Any, now: int, limit: int) -> None:
    _, wait = requesters.take(value, name="n", now_ms=now, limit=limit)
    assert 0 <= wait <= 60_000
    assert history.add(value, "t", {"claimedAt": now})["t"] == {"claimedAt": now}


@settings(max_examples=100, deadline=None)
@given(records, junk, junk)
def test_what_operators_are_shown(record: Any, worker: Any, entry: Any) -> None:
    house = House()
    good = {**REQUESTED, "narrativeAudioRequestedAt": 5}
    house.project.shelf.update(m=record, z=good)
    house.project.tree["narrationWorkers"] = {"w": worker, "good": {"at": SERVER_NOW}}
    house.project.tree["narrationJobs"] = {"m": entry}
    project: Any = house.project
    fleet = status.read(project, 45.0, 0, lambda: SERVER_NOW)
    assert fleet.queue.depth >= 1
    assert "good" in {one.worker_id for one in fleet.workers}
    json.dumps(dataclasses.asdict(fleet), allow_nan=False)

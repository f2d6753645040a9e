"""The condition as the parts of a worker make it: ages, counts, and what each is taken from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from narrator_daemon.daemon import gauges
from narrator_daemon.daemon.gauges import Gauges

#: The steady clock, seconds, and the wall clock, epoch milliseconds.
STEADY, WALL_MS = 1000.0, 1_750_000_000_000


class Parts:
    """Stand-ins for all that is asked, as far as it is asked."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(name="tone", device="cpu")
        self.loading = SimpleNamespace(loaded=True, state=None)
        self.dependencies = SimpleNamespace(down={"disk": "full"})
        self.subscription = SimpleNamespace(state=SimpleNamespace(event_at=STEADY - 3))
        self.waiting = [object()] * 5
        self.oldest: int | None = WALL_MS - 7000
        self.in_work = SimpleNamespace(stuck=2)
        self.held: tuple[int, float | None] = (4, STEADY - 11)
        self.reconciler = SimpleNamespace(read_at=STEADY - 13)
        self.loops: list[Any] = []
        self.waits = SimpleNamespace(counts={"limit": 3}, claimable_since=WALL_MS - 17_000)
        self.renewer = SimpleNamespace(failures=6, safe_until=WALL_MS + 19_000)
        self.presence = SimpleNamespace(clock_offset=0.5, is_double=False)

    def gauges(self, **more: Any) -> Gauges:
        class Sized:
            def __init__(self, size: int, **fields: Any) -> None:
                self.size = size
                self.__dict__.update(fields)

            def __len__(self) -> int:
                return self.size

        given: Any = (
            self.engine,
            self.loading,
            self.dependencies,
            self.subscription,
            Sized(5, oldest=lambda: self.oldest),
            Sized(2, stuck=self.in_work.stuck),
            SimpleNamespace(held=lambda: self.held),
            self.reconciler,
            self.loops,
            SimpleNamespace(books={"b": "refused"}),
            SimpleNamespace(cannot_delete="403"),
            lambda: self.waits,
            SimpleNamespace(rooms={"kept": SimpleNamespace(total=10, free=4)}),
            self.presence,
            self.renewer,
            lambda: WALL_MS,
        )
        return Gauges("w", *given, **more)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(gauges, "time", SimpleNamespace(monotonic=lambda: STEADY))
    return Parts()


def test_ages_are_seconds_by_the_clock_that_each_is_told_by(parts: Parts) -> None:
    seen = parts.gauges().read("running")
    assert (seen.since_event, seen.since_beat, seen.since_reconcile) == (3, 11, 13)
    assert (seen.oldest_request, seen.claimable_age, seen.url_expiry) == (7, 17, 19)


def test_what_has_not_been_yet_has_no_age(parts: Parts) -> None:
    parts.subscription.state.event_at = parts.oldest = parts.reconciler.read_at = None
    parts.held = (0, None)
    parts.waits.claimable_since = parts.renewer.safe_until = None
    parts.loading.loaded = False
    seen = parts.gauges().read("starting")
    assert (seen.since_event, seen.since_beat, seen.since_reconcile) == (None, None, None)
    assert (seen.oldest_request, seen.claimable_age, seen.url_expiry) == (None, None, None)
    assert (seen.device, seen.loaded, seen.leases) == (None, False, 0)


def test_loops_are_late_while_they_live_and_failing_once_they_failed(parts: Parts) -> None:
    def loop(name: str, *, alive: bool, failures: int) -> SimpleNamespace:
        return SimpleNamespace(
            name=name, alive=alive, failures=failures, failed_rounds=9, why="odd", overdue_seconds=1
        )

    parts.loops += [loop("heart", alive=True, failures=0), loop("reaper", alive=False, failures=2)]
    seen = parts.gauges().read("running")
    assert seen.late == {"heart": 1} and seen.failing == {"reaper": (2, "odd")}
    assert seen.loop_failures == {"heart": 9, "reaper": 9}


def test_everything_else_is_as_the_parts_say(parts: Parts) -> None:
    seen = parts.gauges(notes=["a note"]).read("running")
    assert (seen.phase, seen.worker, seen.engine, seen.device) == ("running", "w", "tone", "cpu")
    assert (seen.down, seen.refused) == ({"disk": "full"}, {"b": "refused"})
    assert (seen.queue_depth, seen.in_work, seen.stuck, seen.leases) == (5, 2, 2, 4)
    assert (seen.cannot_delete, seen.waiting) == ("403", {"limit": 3})
    assert (seen.rooms, seen.renewal_failures) == ({"kept": (10, 4)}, 6)
    assert (seen.clock_offset, seen.is_double) == (0.5, False)
    assert (seen.notes, seen.emulated) == (("a note",), False)
    assert parts.gauges(emulated=True).read("running").emulated

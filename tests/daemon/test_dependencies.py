from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import structlog

from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.errors import Contended, Refused, Unavailable


class Service:
    """Answers or does not; counts who asks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fault: Callable[[], Unavailable] | None = None
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def house() -> tuple[Dependencies, Service, Service, Clock]:
    database, storage, clock = Service("database"), Service("storage"), Clock()
    dependencies = Dependencies(clock)
    for service in (database, storage):
        dependencies.add(service.name, service)
    return dependencies, database, storage, clock


def test_what_failed_somebody_is_down_until_it_answers() -> None:
    dependencies, database, storage, clock = house()
    assert dependencies.down == {}
    dependencies.report(Unavailable("storage", "storage answers 503"))
    assert dependencies.down == {"storage": "storage answers 503"}
    clock.now = 60.0
    dependencies.probe()
    assert dependencies.down == {} and (database.asked, storage.asked) == (0, 1)
    dependencies.probe()
    assert storage.asked == 1


def test_it_is_asked_with_growing_pauses() -> None:
    dependencies, database, _, clock = house()
    database.fault = lambda: Unavailable("database", f"still down at {clock.now:.0f}")
    dependencies.report(Unavailable("database", "down"))
    asked_at = []
    for second in range(300):
        clock.now, before = float(second), database.asked
        dependencies.probe()
        if database.asked > before:
            asked_at.append(second)
    pauses = [later - sooner for sooner, later in pairwise(asked_at)]
    assert asked_at[0] == 1 and pauses[:5] == [2, 4, 8, 16, 30] and max(pauses) == 30
    assert dependencies.down == {"database": f"still down at {asked_at[-1]}"}


def test_one_that_comes_back_and_fails_again_is_asked_soon_again() -> None:
    dependencies, database, _, clock = house()
    dependencies.report(Unavailable("database", "down"))
    clock.now = 1.0
    dependencies.probe()
    dependencies.report(Unavailable("database", "down again"))
    clock.now = 2.0
    dependencies.probe()
    assert dependencies.down == {} and database.asked == 2


def test_the_latest_reason_is_shown_and_each_dependency_has_its_own() -> None:
    dependencies, _, storage, clock = house()
    dependencies.report(Unavailable("storage", "first"))
    dependencies.report(Refused("storage", "the bucket is closed"))
    dependencies.report(Unavailable("database", "no answer"))
    storage.fault = lambda: Refused("storage", "still closed")
    clock.now = 5.0
    dependencies.probe()
    assert dependencies.down == {"storage": "still closed"}


@pytest.mark.parametrize("name", ["database", "storage"])
def test_a_node_that_others_keep_writing_is_no_outage(name: str) -> None:
    dependencies, *_ = house()
    dependencies.report(Contended(name, "changed faster than it could be written"))
    assert dependencies.down == {}


def test_one_whose_probe_passes_and_that_fails_all_the_same_is_left_alone_for_longer() -> None:
    dependencies, database, _, clock = house()
    pauses = []
    for _ in range(6):
        dependencies.report(Unavailable("database", "down"))
        fell_at, asked = clock.now, database.asked
        while database.asked == asked:
            clock.now += 0.5
            dependencies.probe()
        pauses.append(clock.now - fell_at)
    assert pauses == [1, 1, 2, 4, 8, 16]
    clock.now += 120
    dependencies.report(Unavailable("database", "down"))
    clock.now += 1
    dependencies.probe()
    assert dependencies.down == {}


@pytest.mark.parametrize(
    ("error", "level"), [(Unavailable("s", "down"), "warning"), (Refused("s", "no"), "error")]
)
def test_what_does_not_pass_by_itself_is_an_error(error: Unavailable, level: str) -> None:
    dependencies, *_ = house()
    with structlog.testing.capture_logs() as logged:
        dependencies.report(error)
        dependencies.report(error)
    assert [event["log_level"] for event in logged] == [level]


def test_what_can_be_seen_to_fail_is_down_before_anybody_meets_it() -> None:
    dependencies, _, _, clock = house()
    disk = Service("disk")
    dependencies.add("disk", disk, disk)
    dependencies.look()
    assert dependencies.down == {}
    disk.fault = lambda: Unavailable("disk", "full")
    dependencies.probe()
    assert dependencies.down == {"disk": "full"}
    disk.fault = None
    clock.now = 1.0
    dependencies.probe()
    assert dependencies.down == {}

"""The condition of a worker on several databases, from that as to each."""

from __future__ import annotations

from typing import Any

from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health.condition import Condition, of_database, together
from narrator_daemon.queue.control import Control, State


def condition(**known: Any) -> Condition:
    fields: dict[str, Any] = {
        "phase": "running",
        "worker": "w",
        "engine": "tone",
        "device": "cpu",
        "loaded": True,
        "down": {},
        "stream": StreamState("live", opened=1),
        "since_event": 1.0,
        "late": {"claimer": 0.0},
        "stuck": 0,
        "in_work": 1,
        "leases": 1,
        "since_beat": 2.0,
        "since_reconcile": 3.0,
        "queue_depth": 4,
        "oldest_request": 5.0,
    }
    return Condition(**{**fields, **known})


def test_one_alone_is_as_it_is() -> None:
    alone = condition()
    assert together({"": alone}) is alone
    assert "databases" not in alone.as_record()
    assert of_database("database", "") == "database"


def test_counts_are_added_up_and_of_times_the_longest_counts() -> None:
    seen = together(
        {
            "a": condition(waiting={"no_room": 1, "paused": 0}, renewal_failures=1, url_expiry=9.0),
            "b": condition(
                since_event=None,
                since_beat=7.0,
                since_reconcile=None,
                queue_depth=6,
                oldest_request=None,
                claimable_age=8.0,
                waiting={"no_room": 2, "paused": 0},
                loop_failures={"claimer": 3},
                stuck=1,
                renewal_failures=2,
                url_expiry=8.0,
            ),
        }
    )
    assert (seen.in_work, seen.leases, seen.queue_depth, seen.stuck) == (2, 2, 10, 1)
    assert (seen.since_event, seen.since_beat, seen.since_reconcile) == (1.0, 7.0, 3.0)
    assert (seen.oldest_request, seen.claimable_age, seen.url_expiry) == (5.0, 8.0, 8.0)
    assert seen.waiting == {"no_room": 3, "paused": 0}
    assert seen.loop_failures == {"claimer": 3} and seen.renewal_failures == 3


def test_what_is_wrong_with_one_is_told_with_its_name() -> None:
    seen = together(
        {
            "a": condition(),
            "b": condition(
                down={"database": "no answer"},
                late={"heart": 1000.0},
                failing={"reaper": (3, "why")},
                refused={"b7": "a rule"},
                cannot_delete="403",
                clock_offset=-70.0,
                is_double=True,
            ),
        }
    )
    assert seen.status == "unhealthy" and not seen.live
    said = "; ".join(seen.problems)
    for part in (
        "database of b: no answer",
        "the heart of b is 1000 s late",
        "the reaper of b has failed 3 times",
        "70 s behind",
        "another daemon has the worker_id",
    ):
        assert part in said, part
    assert seen.attention == ["b: a rule", "storage: b: 403"]
    record = seen.as_record()
    assert record["databases"]["a"]["status"] == "healthy"
    assert record["databases"]["b"]["problems"]
    # What is of the process is said once.
    assert "engine" in record and "engine" not in record["databases"]["a"]


def test_it_takes_books_once_a_stream_is_open() -> None:
    both = {"a": condition(), "b": condition()}
    assert together(both).ready and together(both).stream.opened == 2
    both["b"] = condition(stream=StreamState("connecting", opened=3))
    assert together(both).ready and together(both).stream.name == "connecting"
    both["a"] = condition(stream=StreamState("waiting", error="refused", opened=2))
    seen = together(both)
    assert (seen.stream.name, seen.stream.error) == ("waiting", "a: refused")
    assert seen.stream.opened == 5 and not seen.ready


def test_what_an_operator_tells_is_of_all_where_it_is_alike() -> None:
    paused, odd = Control(state=State.PAUSED), Control(ignored=("state: 7",))
    seen = together({"a": condition(control=paused), "b": condition(control=paused)})
    assert seen.control.holds
    seen = together({"a": condition(control=paused), "b": condition(control=odd)})
    assert not seen.control.holds
    # Paused in one place and drained in another, nothing is claimed.
    drained = Control(state=State.DRAINING)
    assert together({"a": condition(control=paused), "b": condition(control=drained)}).control.holds
    few = Control(books_at_once=3)
    later = Control(books_at_once=3, at=7)
    both = together({"a": condition(control=few), "b": condition(control=later)})
    assert both.control.books_at_once == 3
    assert together({"a": condition(control=few), "b": condition()}).control == Control()
    assert seen.control.ignored == ("state: 7 of b",)
    assert seen.as_record()["databases"]["a"]["control"]["state"] == "paused"


def test_the_clock_that_is_off_most_is_told() -> None:
    seen = together({"a": condition(clock_offset=5.0), "b": condition(clock_offset=-9.0)})
    assert seen.clock_offset == -9.0
    assert together({"a": condition(), "b": condition()}).clock_offset is None

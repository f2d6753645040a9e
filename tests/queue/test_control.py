"""What an operator tells the fleet or a worker, whatever stands in the node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.queue.control import Control, State, holds_all, of_fleet, of_worker


def part(**fields: Any) -> dict[str, Any]:
    return fields


@pytest.mark.parametrize("node", [None, {}, {"fleet": {}}, {"workers": {}}, {"fleet": None}])
def test_nothing_said_is_nothing_told(node: Any) -> None:
    told = of_worker(node, "w")
    assert (told.state, told.books_at_once, told.holds, told.told()) == ("running", None, False, "")
    assert node == {"workers": {}} or not told.ignored


@pytest.mark.parametrize(
    ("fleet", "own", "state", "of_all"),
    [
        ("paused", None, "paused", True),
        (None, "paused", "paused", False),
        ("paused", "running", "paused", True),
        ("running", "draining", "draining", False),
        ("draining", "paused", "draining", True),
        ("paused", "draining", "draining", False),
        ("paused", "paused", "paused", False),
        ("running", "running", "running", True),
    ],
)
def test_of_two_that_are_said_the_stricter_holds(
    fleet: str | None, own: str | None, state: str, of_all: bool
) -> None:
    node = {
        "fleet": {} if fleet is None else {"state": fleet},
        "workers": {"w": {} if own is None else {"state": own}, "other": {"state": "paused"}},
    }
    told = of_worker(node, "w")
    assert (str(told.state), told.of_fleet) == (state, of_all)
    assert told.holds is (state != "running")


def test_the_workers_own_count_of_books_goes_before_the_fleets() -> None:
    node = {"fleet": part(booksAtOnce=4), "workers": {"w": part(booksAtOnce=1)}}
    assert of_worker(node, "w").books_at_once == 1
    assert of_worker(node, "x").books_at_once == 4
    assert of_fleet(node).books_at_once == 4


def test_a_reason_is_told_with_what_it_is_the_reason_of() -> None:
    node = {"fleet": part(state="paused", why=" a new\n GPU ", at=5)}
    told = of_worker(node, "w")
    assert told.told() == "paused by an operator, with the whole fleet: a new GPU"
    assert told.at == 5
    node = {"fleet": part(why="old"), "workers": {"w": part(state="draining", why="x" * 999)}}
    assert of_worker(node, "w").told() == "draining by an operator: " + "x" * 200
    assert of_worker(node, "v").told() == ""


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("paused", "holds neither fleet nor workers"),
        ({"state": "paused"}, 'narrationControl/"state" means nothing'),
        ({"fleet": "paused"}, "narrationControl/fleet holds no fields"),
        ({"fleet": {"state": "stop"}}, 'narrationControl/fleet/state is "stop"'),
        ({"fleet": {"state": True}}, "fleet/state is true"),
        ({"fleet": {"sate": "paused"}}, 'narrationControl/fleet/"sate" means nothing'),
        ({"fleet": {"booksAtOnce": 0}}, "booksAtOnce is 0, and not a whole number from 1 to 64"),
        ({"fleet": {"booksAtOnce": 65}}, "booksAtOnce is 65"),
        ({"fleet": {"booksAtOnce": "4"}}, 'booksAtOnce is "4"'),
        ({"fleet": {"booksAtOnce": True}}, "booksAtOnce is true"),
        ({"workers": "paused"}, "narrationControl/workers holds no workers"),
        ({"workers": {"w": ["paused"]}}, "narrationControl/workers/w holds no fields"),
        ({"fleet": {"state": "x" * 999}}, "…"),
    ],
)
def test_what_cannot_be_meant_changes_nothing_and_is_told(node: Any, told: str) -> None:
    found = of_worker(node, "w")
    assert (found.holds, found.books_at_once) == (False, None)
    (why,) = found.ignored
    assert told in why and len(why) < 200


def test_one_bad_value_spoils_no_other() -> None:
    node = {"fleet": part(state="paused", booksAtOnce=-1), "workers": {"w": part(booksAtOnce=2)}}
    told = of_worker(node, "w")
    assert (told.state, told.books_at_once, len(told.ignored)) == (State.PAUSED, 2, 1)


def test_a_fleet_is_held_by_its_own_word_or_by_that_of_all_its_workers() -> None:
    assert holds_all({"fleet": part(state="paused")}, [])
    one = {"workers": {"w": part(state="paused"), "v": part(state="draining")}}
    assert holds_all(one, ["w", "v"])
    assert not holds_all(one, ["w", "v", "u"])
    assert not holds_all(one, [])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_PARTS = st.dictionaries(
    st.sampled_from(["state", "booksAtOnce", "why", "at"]) | st.text(max_size=3),
    st.sampled_from(["paused", "draining", "running"]) | st.integers(-1, 70) | _JSON,
    max_size=5,
)
_NODES = (
    st.fixed_dictionaries(
        {},
        optional={"fleet": _PARTS | _JSON, "workers": _JSON | st.fixed_dictionaries({"w": _PARTS})},
    )
    | _JSON
)


@given(_NODES)
def test_whatever_stands_there_is_told_or_obeyed(node: Any) -> None:
    told = of_worker(node, "w")
    assert isinstance(told, Control) and told.state in State
    assert told.books_at_once is None or 1 <= told.books_at_once <= 64
    assert len(told.told()) < 300 and len(told.ignored) <= 10
    assert all(len(why) < 300 for why in told.ignored)
    assert holds_all(node, ["w"]) or not told.holds

"""Indexes against brute force, and filtered streams against fresh queries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.emulator.database.feeds import Event, PathFeed, QueryFeed
from narrator_daemon.emulator.database.query import Indexes, InvalidQueryError, Query, parse_query
from narrator_daemon.emulator.database.tree import Tree
from narrator_daemon.emulator.database.values import (
    Path,
    Value,
    children_of,
    key_order,
    normalise,
    order_key,
    priority_of,
    render,
    same,
    value_at,
)

KEYS = ["a", "b", "c", "1", "2", "10"]
leaves = st.sampled_from([None, False, True, -1, 0, 1.5, 2, "", "1", "a", "b"])
books = st.one_of(
    leaves,
    st.fixed_dictionaries(
        {}, optional={"s": leaves, "t": st.one_of(leaves, st.fixed_dictionaries({"s": leaves}))}
    ),
    leaves.map(lambda leaf: {".value": leaf, ".priority": 1} if leaf is not None else None),
)
paths = st.one_of(
    st.tuples(st.sampled_from(KEYS)),
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["s", "t"])),
    st.tuples(st.sampled_from(KEYS), st.just("t"), st.just("s")),
)
shelf = st.dictionaries(st.sampled_from(KEYS), books, max_size=5)
writes = st.lists(
    st.one_of(
        st.tuples(st.just("set"), paths, books),
        st.tuples(
            st.just("update"),
            st.just(()),
            st.dictionaries(st.sampled_from(KEYS), books, max_size=3),
        ),
        st.tuples(st.just("shelf"), st.just(()), shelf),
    ),
    max_size=12,
)
bound = st.sampled_from([None, False, True, -1, 1, 1.5, "", "a", "b"])


@st.composite
def queries(draw: st.DrawFn) -> dict[str, str]:
    order = draw(st.sampled_from(["s", "t", "t/s", "$key", "$value", "$priority"]))
    value = st.sampled_from(KEYS) if order == "$key" else bound
    given: dict[str, Any] = {"orderBy": order}
    if draw(st.booleans()):
        given["equalTo"] = draw(value)
    else:
        low = draw(st.sampled_from(["", "startAt", "startAfter"]))
        high = draw(st.sampled_from(["", "endAt", "endBefore"]))
        given.update({name: draw(value) for name in (low, high) if name})
    limit = draw(st.sampled_from(["", "", "limitToFirst", "limitToLast"]))
    if limit:
        given[limit] = draw(st.integers(1, 3))
    return {name: json.dumps(item) for name, item in given.items()}


def _brute_force(shelf: Value, given: dict[str, str]) -> list[str]:
    """The keys a query wants, from its definition."""
    wanted = {name: json.loads(text) for name, text in given.items()}
    order = wanted["orderBy"]

    def sort_value(key: str, child: Value) -> Any:
        if order == "$key":
            return key_order(key)
        if order == "$priority":
            return order_key(priority_of(child))
        return order_key(child if order == "$value" else value_at(child, tuple(order.split("/"))))

    def of_bound(item: Any) -> Any:
        return key_order(item) if order == "$key" else order_key(item)

    rows = sorted((sort_value(k, c), key_order(k), k) for k, c in children_of(shelf))
    tests = {
        "equalTo": lambda row, at: row[0] == at,
        "startAt": lambda row, at: row[0] >= at,
        "startAfter": lambda row, at: row[0] > at,
        "endAt": lambda row, at: row[0] <= at,
        "endBefore": lambda row, at: row[0] < at,
    }
    for name, test in tests.items():
        if name in wanted:
            rows = [row for row in rows if test(row, of_bound(wanted[name]))]
    rows = rows[: wanted.get("limitToFirst", len(rows))]
    if "limitToLast" in wanted:
        rows = rows[-wanted["limitToLast"] :]
    return [row[2] for row in rows]


def _query(given: dict[str, str]) -> Query:
    query = parse_query(given)
    assert query is not None
    return query


def _apply(tree: Tree, base: Path, write: tuple[str, Path, Any]) -> None:
    kind, path, raw = write
    if kind == "update":
        tree.write(
            base, [((*base, key), normalise(item, now=0)) for key, item in raw.items()], merge=True
        )
    else:
        at = base if kind == "shelf" else (*base, *path)
        tree.write(at, [(at, normalise(raw, now=0))])


@settings(max_examples=150, deadline=None)
@given(shelf, writes, queries())
def test_an_index_answers_as_brute_force_does(
    start: dict[str, Any], changes: list[Any], given: dict[str, str]
) -> None:
    base = ("books",)
    tree = Tree(normalise({"books": start, "other": 1}, now=0))
    indexes, query = Indexes(tree), _query(given)
    for change in [None, *changes]:
        if change is not None:
            _apply(tree, base, change)
        assert list(indexes.run(base, query)) == _brute_force(tree.get(base), given)


class _Client:
    """Keeps what a client knows from the events alone."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.events: list[Event] = []

    def hear(self, event: Event) -> None:
        self.events.append(event)
        base = tuple(part for part in event.path.split("/") if part)
        if event.name == "put":
            self.tree.write(base, [(base, normalise(event.data, now=0))])
        else:
            assert isinstance(event.data, dict)
            for name, item in event.data.items():
                at = (*base, *name.split("/"))
                self.tree.write(at, [(at, normalise(item, now=0))])


@settings(max_examples=150, deadline=None)
@given(shelf, writes, queries())
def test_the_events_of_a_query_add_up_to_a_fresh_query(
    start: dict[str, Any], changes: list[Any], given: dict[str, str]
) -> None:
    base = ("books",)
    tree = Tree(normalise({"books": start, "other": 1}, now=0))
    indexes, client = Indexes(tree), _Client()
    QueryFeed(tree, indexes, base, _query(given), client.hear).open()
    for change in [None, *changes]:
        if change is not None:
            _apply(tree, base, change)
        wanted = {key: tree.get((*base, key)) for key in _brute_force(tree.get(base), given)}
        # Events carry no priorities.
        expected = normalise(render(wanted or None), now=0)  # type: ignore[arg-type]
        assert same(client.tree.root, expected)


@settings(max_examples=100, deadline=None)
@given(shelf, writes, st.sampled_from([(), ("books",), ("books", "a"), ("books", "a", "t")]))
def test_the_events_of_a_path_add_up_to_its_value(
    start: dict[str, Any], changes: list[Any], path: Path
) -> None:
    tree = Tree(normalise({"books": start}, now=0))
    client = _Client()
    PathFeed(tree, path, client.hear).open()
    for change in changes:
        _apply(tree, ("books",), change)
        assert same(client.tree.root, normalise(render(tree.get(path)), now=0))


def test_writes_out_of_the_filter_give_no_event() -> None:
    tree = Tree({"books": {"a": {"s": "requested", "n": 1}, "b": {"s": "ready", "n": 1}}})
    client = _Client()
    query = _query({"orderBy": '"s"', "equalTo": '"requested"'})
    QueryFeed(tree, Indexes(tree), ("books",), query, client.hear).open()
    tree.write(("books", "b", "n"), [(("books", "b", "n"), 2)])
    tree.write(("elsewhere",), [(("elsewhere",), 2)])
    assert [event.path for event in client.events] == ["/"]
    tree.write(("books", "b", "s"), [(("books", "b", "s"), "requested")])
    assert client.events[-1] == Event("put", "/b", {"s": "requested", "n": 2})
    tree.write(("books", "b", "n"), [(("books", "b", "n"), 3)])
    assert client.events[-1] == Event("put", "/b/n", 3)
    tree.write(("books", "b", "s"), [(("books", "b", "s"), "processing")])
    assert client.events[-1] == Event("put", "/b", None)
    assert len(client.events) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limitToFirst": "1"}, "orderBy must be defined when other query parameters are defined"),
        ({"orderBy": "name"}, "orderBy must be a valid JSON encoded path"),
        ({"orderBy": '"a.b"'}, "orderBy must be a valid JSON encoded path"),
        ({"orderBy": '"a"', "equalTo": "x"}, "Constraint index field must be a JSON primitive"),
        ({"orderBy": '"a"', "equalTo": "[1]"}, "Constraint index field must be a JSON primitive"),
        (
            {"orderBy": '"$key"', "startAt": "1"},
            "Provided key index type is invalid, must be string",
        ),
        ({"orderBy": '"a"', "limitToFirst": "x"}, "limitToFirst must be an integer"),
        ({"orderBy": '"a"', "limitToLast": "0"}, "limitToLast must be positive"),
        (
            {"orderBy": '"a"', "limitToLast": "1", "limitToFirst": "1"},
            "Only one of limitToFirst and limitToLast may be specified",
        ),
        (
            {"orderBy": '"a"', "equalTo": "1", "startAt": "1"},
            "equalTo cannot be specified in addition to startAfter, startAt, endAt, or endBefore",
        ),
    ],
)
def test_queries_that_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidQueryError) as caught:
        parse_query(given)
    assert str(caught.value) == message

"""A commit is one event, whoever listens and however: no listener sees a state that never was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.database.feeds import Event, PathFeed, QueryFeed
from narrator_daemon.emulator.database.query import Indexes, parse_query
from narrator_daemon.emulator.database.tree import Tree
from narrator_daemon.emulator.database.values import Value, children_of, normalise, render
from tests.emulator.sdk_client import Client, talk


def apply(state: Any, event: Event) -> Any:
    """What a client holds after an event."""
    state = copy.deepcopy(state)
    base = [part for part in event.path.split("/") if part]
    writes = {(): event.data}
    if event.name == "patch":
        assert isinstance(event.data, dict)
        writes = {tuple(name.split("/")): value for name, value in event.data.items()}
    for path, value in writes.items():
        state = put(state, [*base, *path], value)
    return state


def put(state: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    state = dict(state) if isinstance(state, dict) else {}
    below = put(state.get(path[0]), path[1:], value)
    if below is None or below == {}:
        state.pop(path[0], None)
    else:
        state[path[0]] = below
    return state or None


KEYS = st.sampled_from(["k1", "k2", "k3", "k4", "k5"])
RECORD = st.fixed_dictionaries(
    {}, optional={"rank": st.integers(0, 4), "name": st.sampled_from(["x", "y"])}
)
WRITE = st.dictionaries(
    st.one_of(
        KEYS,
        KEYS.map(lambda key: f"{key}/rank"),
        KEYS.map(lambda key: f"{key}/name"),
    ),
    st.one_of(st.none(), st.integers(0, 4), RECORD),
    min_size=1,
    max_size=4,
)
QUERIES = [
    {"orderBy": '"rank"', "limitToLast": "2"},
    {"orderBy": '"rank"', "limitToFirst": "3", "startAt": "1"},
    {"orderBy": '"rank"', "equalTo": "2"},
    {"orderBy": '"$key"', "startAt": '"k2"', "endAt": '"k4"'},
    {"orderBy": '"$key"', "limitToLast": "1"},
]


def apart(paths: list[tuple[str, ...]]) -> bool:
    return not any(a != b and b[: len(a)] == a for a in paths for b in paths)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(WRITE, st.booleans()), min_size=1, max_size=8))
def test_one_event_a_commit_and_the_state_is_always_the_servers(
    writes: list[tuple[dict[str, Any], bool]],
) -> None:
    tree = Tree()
    indexes = Indexes(tree)
    events: dict[str, list[Event]] = {"whole": []}
    PathFeed(tree, ("books",), events["whole"].append).open()
    feeds: dict[str, QueryFeed] = {}
    for parameters in QUERIES:
        query = parse_query(parameters)
        assert query is not None
        name = str(parameters)
        events[name] = []
        feeds[name] = QueryFeed(tree, indexes, ("books",), query, events[name].append)
        feeds[name].open()
    states: dict[str, Any] = {}
    for write, merged in writes:
        before = {name: len(heard) for name, heard in events.items()}
        commit(tree, write, merged)
        for name, heard in events.items():
            fresh = heard[before[name] :]
            assert len(fresh) <= 1
            state = states.get(name)
            for event in heard[:1] if name not in states else []:
                state = apply(state, event)
            for event in fresh:
                state = apply(state, event)
            states[name] = state
            expected = feeds[name].current() if name in feeds else tree.get(("books",))
            assert state == plain(expected)


def commit(tree: Tree, write: dict[str, Any], merged: bool) -> None:
    changes = [(("books", *name.split("/")), normalise(raw, now=0)) for name, raw in write.items()]
    if merged and apart([path for path, _ in changes]):
        tree.write(("books",), changes, merge=True)
    else:
        path, value = changes[0]
        tree.write(path, [(path, value)])


def plain(value: Value) -> Any:
    """As a client would hold it: dicts alone, since keys here are no integers."""
    if isinstance(value, dict):
        return {key: plain(child) for key, child in children_of(value)} or None
    return render(value)


def three(listen: Callable[..., Any], rest: Any, **query: str) -> Any:
    rest.put("/books", {"m2": {"at": 2}, "m3": {"at": 3}, "m4": {"at": 4}})
    listener = listen("/books", **query)
    listener.next()
    return listener


LAST_THREE = {"orderBy": '"$key"', "limitToLast": "3"}


def test_a_push_into_a_window_is_one_event_of_a_stream(listen: Any, rest: Any) -> None:
    listener = three(listen, rest, **LAST_THREE)
    rest.put("/books/m5", {"at": 5})
    assert listener.next() == ("patch", {"path": "/", "data": {"m2": None, "m5": {"at": 5}}})


@pytest.mark.parametrize("query", [{}, {"orderBy": '"$key"', "startAt": '"m"'}])
def test_an_update_of_three_is_one_event_of_a_stream(
    listen: Any, rest: Any, query: dict[str, str]
) -> None:
    listener = three(listen, rest, **query)
    update = {"m2/at": 20, "m3": None, "m4/at": 40}
    rest("PATCH", "/books", update).raise_for_status()
    assert listener.next() == ("patch", {"path": "/", "data": update})
    rest.put("/books/m4/at", 41)
    assert listener.next() == ("put", {"path": "/m4/at", "data": 41})


def test_a_push_into_a_window_is_one_message_of_a_websocket(
    firebase: LocalFirebase, rest: Any
) -> None:
    rest.put("/books", {"m2": 2, "m3": 3, "m4": 4})

    async def dialogue(client: Client) -> None:
        query = {"i": ".key", "l": 3, "vf": "r"}
        assert (await client.ask("q", p="/books", q=query, t=1, h=""))[0] == "ok"
        client.pushes.clear()
        assert (await client.ask("p", p="/books/m5", d=5))[0] == "ok"
        assert client.pushes == [("m", {"p": "books", "d": {"m2": None, "m5": 5}, "t": 1})]

    talk(firebase, dialogue)


def test_a_stream_is_not_told_of_priorities(listen: Any, rest: Any) -> None:
    rest.put("/p", {"a": 1})
    listener = listen("/p")
    listener.next()
    rest("PUT", "/p/a/.priority", 7).raise_for_status()
    rest.put("/p/b", 2)
    assert listener.next() == ("put", {"path": "/b", "data": 2})

"""The stream's reader by itself; what it does over a real stream is in test_daemon."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.firebase.subscription import Hint, StreamEvent, parse_events, read_hint

event_names = st.sampled_from(["put", "patch", "keep-alive", "cancel", "auth_revoked"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    sent=st.lists(st.tuples(event_names, json_values), max_size=6),
    data=st.data(),
)
def test_events_are_the_same_however_the_bytes_arrive(sent, data) -> None:
    stream = "".join(
        f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n" for name, value in sent
    ).encode("utf-8", errors="surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = list(parse_events([stream]))
    assert list(parse_events(chunks)) == whole
    assert [event.name for event in whole] == [name for name, _ in sent]


def test_lines_may_end_as_on_other_systems_and_comments_are_passed_over() -> None:
    stream = b": hello\r\nevent: put\r\ndata: 1\r\ndata:2\r\n\r\n\r\n"
    assert list(parse_events([stream])) == [StreamEvent("put", "1\n2")]


def test_an_unfinished_event_is_not_given() -> None:
    assert list(parse_events([b"event: put\ndata: {}\n"])) == []


def put(path: str, data: object, name: str = "put") -> Hint | None:
    return read_hint(StreamEvent(name, json.dumps({"path": path, "data": data})))


def test_a_put_of_everything_is_a_resync() -> None:
    assert put("/", {"a": {"x": 1}}) == Hint({"a": {"x": 1}}, resync=True)
    assert put("/", None) == Hint({}, resync=True)


def test_small_integer_keys_come_as_a_list() -> None:
    assert put("/", [None, {"x": 1}]) == Hint({"1": {"x": 1}}, resync=True)


def test_a_book_that_comes_whole_a_part_of_one_and_one_that_leaves() -> None:
    assert put("/a", {"x": 1}) == Hint({"a": {"x": 1}})
    assert put("/a/narrative", "new") == Hint({"a": None})
    assert put("/a", {"x": 1}, "patch") == Hint({"a": None})
    assert put("/a", None) == Hint(gone=frozenset({"a"}))


def test_a_patch_over_several_books() -> None:
    seen = put("/", {"a": {"x": 1}, "b": None, "c/narrative": None}, "patch")
    assert seen == Hint({"a": {"x": 1}, "c": None}, frozenset({"b"}))


@given(st.text(), st.text())
def test_nothing_that_is_sent_breaks_the_reader(name: str, data: str) -> None:
    read_hint(StreamEvent(name, data))


@pytest.mark.parametrize("data", [[], 3, None, {"path": "/"}, {"data": 1}])
def test_messages_of_another_shape_say_nothing(data: object) -> None:
    assert read_hint(StreamEvent("put", json.dumps(data))) is None

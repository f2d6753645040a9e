from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.emulator.database.values import (
    InvalidDataError,
    InvalidKeyError,
    children_of,
    etag,
    is_valid_key,
    key_order,
    normalise,
    render,
    same,
)

keys = st.one_of(
    st.integers(0, 6).map(str),
    st.text(
        st.characters(exclude_characters=".$#[]/", exclude_categories=["C"]), min_size=1, max_size=4
    ),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
json_values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=20,
)


def _has_nothing_empty(value: object) -> bool:
    if value is None or value == {}:
        return False
    return not isinstance(value, dict) or all(_has_nothing_empty(v) for v in value.values())


@given(json_values)
def test_a_stored_value_has_no_nulls_no_empty_objects_and_no_lists(raw: object) -> None:
    value = normalise(raw, now=0)
    assert value is None or _has_nothing_empty(value)
    for _, child in children_of(value):
        assert not isinstance(child, list)


@given(json_values)
def test_what_is_read_can_be_written_back_unchanged(raw: object) -> None:
    value = normalise(raw, now=0)
    again = normalise(json.loads(json.dumps(render(value))), now=0)
    assert same(value, again)
    assert etag(value) == etag(again)


@given(json_values, json_values)
def test_equal_tags_mean_equal_values(one: object, other: object) -> None:
    a, b = normalise(one, now=0), normalise(other, now=0)
    assert (etag(a) == etag(b)) == same(a, b)


def test_true_is_not_one() -> None:
    assert not same({"a": True}, {"a": 1})
    assert etag(True) != etag(1)


@pytest.mark.parametrize(
    ("raw", "out"),
    [
        (["a", "b"], ["a", "b"]),
        ({"0": "a", "1": "b"}, ["a", "b"]),
        ([None, "b", "c"], [None, "b", "c"]),
        ({"0": "a", "9": "b"}, {"0": "a", "9": "b"}),
        ({"01": "a"}, {"01": "a"}),
        ([None, None], None),
        ({"a": {"b": None}}, None),
        ([[], {}], None),
        (1.0, 1),
        (2**70, float(2**70)),
        ("\ud800x", "\ufffdx"),
        ({".value": 3, ".priority": 1}, 3),
        ({".value": 3}, 3),
    ],
)
def test_what_comes_out(raw: object, out: object) -> None:
    assert render(normalise(raw, now=0)) == out


@pytest.mark.parametrize(
    "key", ["", "a.b", "$a", "#", "[", "]", "a/b", "\x00", "\x1f", "\x7f", "k" * 769, "é" * 385]
)
def test_bad_keys(key: str) -> None:
    assert not is_valid_key(key)
    with pytest.raises(InvalidKeyError):
        normalise({"a": {key: 1}}, now=0)


@pytest.mark.parametrize(
    "key", ["a b", "100%", "é" * 384, "k" * 768, "-", "~!@^&*()=+{}|;:'\",<>?"]
)
def test_good_keys(key: str) -> None:
    assert render(normalise({key: 1}, now=0)) == {key: 1}


def test_depth_ends_at_32() -> None:
    raw: object = 1
    for _ in range(32):
        raw = {"k": raw}
    normalise(raw, now=0)
    with pytest.raises(InvalidDataError, match="depth"):
        normalise({"k": raw}, now=0)


def test_long_strings() -> None:
    normalise("x" * 10 * 1024 * 1024, now=0)
    with pytest.raises(InvalidDataError, match="10485760"):
        normalise("é" * (5 * 1024 * 1024 + 1), now=0)


@pytest.mark.parametrize(
    "raw",
    [
        {".sv": "time"},
        {".sv": {"increment": "1"}},
        {".sv": "timestamp", "a": 1},
        {".value": 1, "a": 2},
        {"a": 1, ".priority": True},
        float("inf"),
    ],
)
def test_data_that_is_refused(raw: object) -> None:
    with pytest.raises(InvalidDataError):
        normalise(raw, now=0)


def test_server_values() -> None:
    raw = {
        "at": {".sv": "timestamp"},
        "n": {".sv": {"increment": 2}},
        "s": {".sv": {"increment": 2}},
    }
    assert normalise(raw, now=7, existing={"n": 1.5, "s": "x"}) == {"at": 7, "n": 3.5, "s": 2}


def test_keys_sort_integers_first() -> None:
    mixed = ["b", "10", "a", "9", "-3", "B", "2147483648", "0x1", "é"]
    assert sorted(mixed, key=key_order) == [
        "-3",
        "9",
        "10",
        "0x1",
        "2147483648",
        "B",
        "a",
        "b",
        "é",
    ]

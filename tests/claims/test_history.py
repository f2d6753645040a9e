from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.claims.history import MAX_ENTRIES, add


def test_the_newest_entries_are_kept() -> None:
    entries: dict[str, Any] = {}
    for number in range(50):
        entries = add(entries, f"t{number}", {"claimedAt": number})
    assert set(entries) == {f"t{number}" for number in range(30, 50)}
    assert len(entries) == MAX_ENTRIES


def test_a_claim_has_one_entry_the_last_that_was_written() -> None:
    entries = add({"t": {"claimedAt": 1, "outcome": "worker_lost"}}, "t", {"outcome": "fenced"})
    assert entries == {"t": {"outcome": "fenced"}}


@pytest.mark.parametrize("stored", [None, "x", 3, [], {"a": 5, "b": None, "c": []}])
def test_what_is_not_an_entry_goes(stored: Any) -> None:
    assert add(stored, "t", {"claimedAt": 1}) == {"t": {"claimedAt": 1}}


def test_entries_under_small_numbers_come_as_a_list() -> None:
    assert set(add([None, {"claimedAt": 1}], "t", {})) == {"1", "t"}


values = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers())


@given(st.dictionaries(st.text(max_size=3), st.fixed_dictionaries({"claimedAt": values}) | values))
def test_it_is_bounded_whatever_lies_there_and_changes_nothing_in_place(
    stored: dict[str, Any],
) -> None:
    before = repr(stored)
    entries = add(stored, "t", {"claimedAt": 1})
    assert len(entries) <= MAX_ENTRIES and entries["t"] == {"claimedAt": 1}
    assert repr(stored) == before

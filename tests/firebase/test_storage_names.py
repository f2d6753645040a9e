from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.firebase.object_names import slug


@pytest.mark.parametrize("book_id", ["moby-dick", "A_1", "x" * 100])
def test_plain_ids_name_themselves(book_id: str) -> None:
    assert slug(book_id) == book_id


@given(st.text(min_size=1))
def test_every_id_gets_a_short_name_that_stays_in_its_folder(book_id: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,100}", slug(book_id))


@pytest.mark.parametrize(
    "book_id", ["../../etc/passwd", "a b", "50%25?", "Ægypt ☂", "x" * 101, "é" * 350]
)
def test_other_ids_get_a_readable_part_and_a_digest(book_id: str) -> None:
    name = slug(book_id)
    assert re.fullmatch(r"([A-Za-z0-9_-]{1,40}-)?[0-9a-f]{32}", name)
    assert name != slug(book_id + " ")

"""Pictures from outside: which are taken for covers."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.cover import MOST_BYTES, BadCover, cover_of
from tests.narration.test_companions import png


def jpeg(width: int = 8, height: int = 4, before: bytes = b"") -> bytes:
    """The structure of one; what is in it is no picture."""
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return (
        b"\xff\xd8" + before + b"\xff\xc2" + frame + b"\xff\xda\x00\x02" + b"x" * 20 + b"\xff\xd9"
    )


COMMENT = b"\xff\xff\xfe\x00\x05abc"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (png(3, 2), ("png", 3, 2)),
        (jpeg(300, 200), ("jpeg", 300, 200)),
        (jpeg(300, 200, COMMENT), ("jpeg", 300, 200)),
    ],
)
def test_what_is_one(data: bytes, found: tuple[str, int, int]) -> None:
    cover = cover_of(data)
    assert (cover.kind, cover.width, cover.height) == found
    assert cover.data == data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither"),
        (b"GIF89a", "neither"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "neither"),
        (b"\xff\xd8\xff" + b"\0" * MOST_BYTES, "more than 5.2 MB"),
        (png()[:-1], "damaged"),
        (png().replace(b"IDAT", b"IDAx"), "damaged"),
        (png(20_000, 1), "20000 × 1 points"),
        (png()[:8] + b"\0\0\0\0IEND\xaeB`\x82", "0 × 0 points"),
        (jpeg()[:-3], "damaged"),
        (jpeg(0, 0), "0 × 0 points"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "damaged"),
        (b"\xff\xd8\xff\xfe\x00\x00\xff\xd9", "damaged"),
        (b"\xff\xd8\xff\xfe\xff\xff\xff\xd9", "damaged"),
    ],
)
def test_what_is_none(data: bytes, why: str) -> None:
    with pytest.raises(BadCover, match=why):
        cover_of(data)


@given(
    st.sampled_from([png(), jpeg(), jpeg(before=COMMENT)]),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 300),
)
def test_damage_of_any_kind_is_told_and_nothing_else(
    data: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    changed = bytearray(data)
    for place, value in changes:
        if place < len(changed):
            changed[place] = value
    with suppress(BadCover):
        cover = cover_of(bytes(changed[:length]))
        assert 0 < cover.width <= 10_000 and 0 < cover.height <= 10_000

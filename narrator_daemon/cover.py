"""Pictures of covers: whether bytes are one, told by their structure alone.

A picture comes from whoever edits the catalogue, goes into the file as it is, and is decoded by
players. Nothing here decodes it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

#: Larger pictures are left out: 5 MB and 10,000 points a side.
MOST_BYTES = 5 << 20
_MOST_POINTS = 10_000

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = struct.Struct(">I4s")


class BadCover(Exception):
    """It cannot be a cover; the text says why."""


@dataclass(frozen=True)
class Cover:
    """A picture.

    Attributes:
        kind: ``jpeg`` or ``png``.
        width: points.
        height: points.
        data: the file.
    """

    kind: Literal["jpeg", "png"]
    width: int
    height: int
    data: bytes


def cover_of(data: bytes) -> Cover:
    """A picture, looked at from outside.

    Raises:
        BadCover: it is too large, neither JPEG nor PNG, or damaged.
    """
    if len(data) > MOST_BYTES:
        raise BadCover(f"it has more than {MOST_BYTES / 1e6:.1f} MB")
    try:
        if data.startswith(_PNG):
            width, height = _png(data)
            kind: Literal["jpeg", "png"] = "png"
        elif data.startswith(b"\xff\xd8\xff"):
            width, height = _jpeg(data)
            kind = "jpeg"
        else:
            raise BadCover("it is neither JPEG nor PNG")
    except (struct.error, IndexError):
        raise BadCover("it is damaged") from None
    if not (0 < width <= _MOST_POINTS and 0 < height <= _MOST_POINTS):
        raise BadCover(f"it has {width} × {height} points; at most {_MOST_POINTS} a side will do")
    return Cover(kind, width, height, data)


def _png(data: bytes) -> tuple[int, int]:
    """Width and height. Source: PNG specification, third edition, 5 and 11.2.1."""
    size = (0, 0)
    place = len(_PNG)
    while True:
        length, name = _PNG_CHUNK.unpack_from(data, place)
        content = data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        if zlib.crc32(name + content) != checksum:
            raise BadCover("it is damaged")
        if name == b"IHDR":
            size = struct.unpack(">II", content[:8])
        if name == b"IEND":
            return size
        place += 12 + length


def _jpeg(data: bytes) -> tuple[int, int]:
    """Width and height. Source: ITU-T T.81, annex B."""
    if b"\xff\xd9" not in data[-4096:]:
        raise BadCover("it is damaged")  # cut off before its end
    place = 2
    while True:
        if data[place] != 0xFF:
            raise BadCover("it is damaged")
        marker = data[place + 1]
        if marker == 0xFF:  # fill
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        if marker in (0xD9, 0xDA):  # the end, or the picture itself
            raise BadCover("it is damaged")
        (length,) = struct.unpack_from(">H", data, place + 2)
        if length < 2:
            raise BadCover("it is damaged")
        place += 2 + length

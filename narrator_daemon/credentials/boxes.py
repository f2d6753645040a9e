"""The boxes that an MP4 file is made of (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_HEAD = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")


@dataclass(frozen=True)
class Box:
    """One box of a file.

    Attributes:
        name: four bytes.
        start: where its head begins.
        head: bytes of its head.
        size: bytes, head included.
    """

    name: bytes
    start: int
    head: int
    size: int

    def read(self, file: BinaryIO) -> bytes:
        """What is in it."""
        file.seek(self.start + self.head)
        return file.read(self.size - self.head)

    @staticmethod
    def written(name: bytes, content: bytes) -> bytes:
        """A box as bytes; of less than 4 GB."""
        return _HEAD.pack(_HEAD.size + len(content), name) + content


def top_level(file: BinaryIO, most: int) -> Iterator[Box]:
    """The boxes of a file, at most so many.

    Raises:
        ValueError: one says that it is larger than the file.
    """
    end, place = file.seek(0, 2), 0
    for _ in range(most):
        file.seek(place)
        written = file.read(_HEAD.size + _LARGE.size)
        if len(written) < _HEAD.size:
            return
        size, name = _HEAD.unpack_from(written)
        head = _HEAD.size
        if size == 1:
            (size,) = _LARGE.unpack_from(written, _HEAD.size)
            head += _LARGE.size
        elif size == 0:
            size = end - place
        if size < head or place + size > end:
            raise ValueError("a box is larger than the file")
        yield Box(name, place, head, size)
        place += size


def children(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the boxes in one.

    Raises:
        ValueError: one says that it is larger than what it is in.
    """
    place = 0
    while place + _HEAD.size <= len(content):
        size, name = _HEAD.unpack_from(content, place)
        if not _HEAD.size <= size <= len(content) - place:
            # QuickTime ends a list of boxes with a zero.
            if size == 0:
                return
            raise ValueError("a box is larger than what it is in")
        yield name, content[place + _HEAD.size : place + size]
        place += size

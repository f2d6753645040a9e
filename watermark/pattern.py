"""Which cell of sound is raised and which is lowered: the keyed pattern.

Sound is cut into cells, ``BANDS`` bands of ``BAND_HZ`` by ``CELL_SECONDS``. A mark
raises or lowers each by a decibel or two. A book's mark starts at a place of its own in a cycle of
``CYCLE_CELLS`` cells (four hours) and runs on from there; within the cycle nothing repeats.

Every third band carries the *pilot*, signs that depend on the key and the place in the cycle only:
they let a detector find the place. The other bands carry the *data*: each block of
``BLOCK_CELLS`` cells holds the whole coded payload five times, each cell's sign turned by one
more random sign. So evidence from anywhere adds up once the place is known, whatever was cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from watermark.keys import random_bytes, tag
from watermark.payload import CODED_BITS, encode, payload_of

CELL_SECONDS = 2048 / 24_000
BANDS = 60
BAND_HZ = 93.75
#: Lower edge of band 0, Hz; the highest band ends at 5,918 Hz.
LOWEST_HZ = 12.5 * 24_000 / 1024

PILOT_BANDS: NDArray[np.intp] = np.arange(1, BANDS, 3)
DATA_BANDS: NDArray[np.intp] = np.setdiff1d(np.arange(BANDS), PILOT_BANDS)

#: Cells of time in one block, which carries every coded bit ``REPEATS`` times.
BLOCK_CELLS = 28
REPEATS = BLOCK_CELLS * len(DATA_BANDS) // CODED_BITS
CYCLE_BLOCKS = 6144
CYCLE_CELLS = CYCLE_BLOCKS * BLOCK_CELLS


@dataclass(frozen=True)
class Pattern:
    """All that a key decides.

    Attributes:
        signs: ±1 of each place in the cycle and each band, int8, ``[CYCLE_CELLS, BANDS]``; of a
            data band, before the coded bit.
        coded_bit: which coded bit a data cell carries, by its place in the block and its data
            band, ``[BLOCK_CELLS, len(DATA_BANDS)]``.
    """

    key: bytes = field(repr=False)
    signs: NDArray[np.int8] = field(repr=False)
    coded_bit: NDArray[np.intp] = field(repr=False)

    def start(self, book_index: int) -> int:
        """The place in the cycle where a book's mark begins."""
        drawn = int.from_bytes(tag(self.key, b"start", book_index.to_bytes(4, "big"))[:8], "big")
        return drawn % CYCLE_BLOCKS * BLOCK_CELLS

    def seconds_into(self, book_index: int, place: int) -> float:
        """Which second of a book's narration a place is, less than the length of the cycle.

        A place barely before the start is second 0: a detector's guess can be off by a cell.
        """
        cells = (place - self.start(book_index)) % CYCLE_CELLS
        return 0.0 if cells > CYCLE_CELLS - BLOCK_CELLS else cells * CELL_SECONDS

    def codeword(self, book_index: int) -> NDArray[np.int8]:
        """A book's coded bits as signs, ``[CODED_BITS]``."""
        signs: NDArray[np.int8] = encode(np.array([payload_of(self.key, book_index)], np.uint64))[0]
        return signs

    def book_signs(self, codeword: NDArray[np.int8], places: NDArray[np.intp]) -> NDArray[np.int8]:
        """The signs that a book's mark has at places of the cycle, ``[len(places), BANDS]``."""
        signs = np.empty((len(places), BANDS), np.int8)
        signs[:] = self.signs[places % CYCLE_CELLS]
        signs[:, DATA_BANDS] *= codeword[self.coded_bit[places % BLOCK_CELLS]]
        return signs


@lru_cache(maxsize=4)
def pattern_of(key: bytes) -> Pattern:
    """The pattern of a key; about 10 MB, and the last few are kept."""
    octets = random_bytes(key, b"signs", CYCLE_CELLS * 8).reshape(CYCLE_CELLS, 8)
    signs = 1 - 2 * np.unpackbits(octets, axis=1, count=BANDS).astype(np.int8)
    signs.flags.writeable = False
    draws = random_bytes(key, b"interleaver", CODED_BITS * REPEATS * 8).view("<u8")
    coded_bit = np.argsort(draws, kind="stable") % CODED_BITS
    return Pattern(key, signs, coded_bit.reshape(BLOCK_CELLS, len(DATA_BANDS)))

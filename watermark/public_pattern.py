"""The pattern of the public mark, which is the same for all: see ``watermark.marking.public``."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from watermark.pattern import BANDS

#: What the pattern is drawn from: SHAKE-256 of these bytes.
CONSTANT = b"public mark 1: a machine spoke this"
#: Cells of time until the pattern begins again, 2.73 s.
PERIOD = 32


@lru_cache(maxsize=1)
def public_pattern() -> NDArray[np.int8]:
    """The pattern's signs, ``[PERIOD, BANDS]``: 1 for a bit 0 and −1 for a bit 1.

    Bits come from SHAKE-256 of ``CONSTANT``, 8 bytes for each cell of time, the highest bit of the
    first byte for the lowest band; the last four of 64 bits are not used.
    """
    octets = hashlib.shake_256(CONSTANT).digest(PERIOD * 8)
    bits = np.unpackbits(np.frombuffer(octets, np.uint8).reshape(PERIOD, 8), axis=1, count=BANDS)
    signs: NDArray[np.int8] = 1 - 2 * bits.astype(np.int8)
    signs.flags.writeable = False
    return signs


def public_signs(cells: NDArray[np.intp]) -> NDArray[np.int8]:
    """The signs of cells counted from the first, ``[n]`` to ``[n, BANDS]``."""
    signs: NDArray[np.int8] = public_pattern()[cells % PERIOD]
    return signs

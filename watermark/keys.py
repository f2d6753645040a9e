"""The secret key, and the streams of random bits that are drawn from it."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
from numpy.typing import NDArray

#: A key shorter than this could be guessed; 32 bytes from ``secrets.token_bytes`` are best.
MIN_KEY_BYTES = 16


class WatermarkKeyError(ValueError):
    """A key that cannot be used. The message never holds any of the key."""


def check_key(key: bytes) -> bytes:
    """Refuse what cannot serve as a key.

    Args:
        key: the secret, at least ``MIN_KEY_BYTES`` bytes.

    Returns:
        The same bytes.

    Raises:
        WatermarkKeyError: it is not bytes, too short, or one byte repeated.
    """
    if not isinstance(key, bytes):
        raise WatermarkKeyError(
            f"the watermark key must be bytes, not {type(key).__name__}; "
            "decode the key file's text first"
        )
    if len(key) < MIN_KEY_BYTES:
        raise WatermarkKeyError(
            f"the watermark key has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed"
        )
    if len(set(key)) == 1:
        raise WatermarkKeyError("the watermark key is one byte repeated; draw a random one")
    return key


def tag(key: bytes, purpose: bytes, message: bytes = b"") -> bytes:
    """32 pseudo-random bytes for one purpose and message: HMAC-SHA-256 (RFC 2104)."""
    return hmac.digest(key, b"watermark/1/" + purpose + b"/" + message, "sha256")


def random_bytes(key: bytes, purpose: bytes, count: int) -> NDArray[np.uint8]:
    """A stream of ``count`` pseudo-random bytes: SHAKE-256 (FIPS 202) over a tag of the key."""
    return np.frombuffer(hashlib.shake_256(tag(key, purpose)).digest(count), dtype=np.uint8)

"""What all rooms agree on about sound: float32 mono, shape ``[n]``, full scale 1.

Plain numbers; where a segment sounds is the business of ``csm.silence``.
"""

from __future__ import annotations

import math

#: Samples a second of all audio in this package.
SAMPLE_RATE = 24_000
#: Seconds of sound in a frame of codes (Mimi, 12.5 frames a second).
CODE_FRAME_SECONDS = 0.08
#: Seconds of sound over which a level is measured.
LEVEL_SECONDS = 0.01
#: Seconds that a character of English takes when it is narrated, spaces and pauses included.
PACE = 0.07
#: Sound is what is at most this much below the loud parts of a segment …
SOUND_BELOW_LOUD_DB = 45.0
#: … and above this. What is neither is silence.
SILENCE_DBFS = -65.0


def decibels(ratio: float) -> float:
    """A ratio of magnitudes in decibels; ``-inf`` for 0."""
    return 20 * math.log10(ratio) if ratio > 0 else -math.inf


def ratio(decibels: float) -> float:
    """Decibels as a ratio of magnitudes."""
    return float(10 ** (decibels / 20))

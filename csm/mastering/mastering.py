"""Segments of speech to one finished narration: trims, joins, pauses, room tone, loudness.

    mastering = Mastering([(samples, pause_seconds), ...])
    for block in mastering.blocks():
        out.write(pcm16(block))

However long the narration, one segment is in memory at a time, and for each second of it less than
a kilobyte of measurements: the segments are read several times, from wherever they are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from csm.audio import LEVEL_SECONDS, SAMPLE_RATE, ratio
from csm.mastering.limiter import limited
from csm.mastering.loudness import gated_loudness, step_energies, step_samples, true_peaks
from csm.silence import levels, sounding

#: Integrated loudness by default. Speech with its pauses then has an RMS between the −23 and
#: −18 dBFS that audiobook shops ask for, with room for its peaks.
TARGET_LUFS = -20.0
#: Peaks between samples included; the shops' limit is −3 dBFS.
CEILING_DBTP = -3.0
#: The most that quiet speech is raised; beyond it there is only noise to be heard.
MOST_GAIN_DB = 30.0

#: Seconds before the first segment and after the last.
HEAD_SECONDS = 0.5
TAIL_SECONDS = 1.0
#: Seconds kept before and after the sound of a segment, and faded at its ends.
PAD_SECONDS = 0.06
FADE_SECONDS = 0.01
#: Root mean square of the room tone under the whole narration.
ROOM_TONE_DBFS = -70.0

#: Between the ceiling and what the limiter aims at: room for the room tone and for its own curve.
_LIMITER_MARGIN_DB = 0.1
#: Limiting lowers the loudness, and raising it again needs more limiting.
_LEVEL_ROUNDS = 6
_LEVEL_TOLERANCE_LU = 0.05
#: Samples of sound, with their peaks, that are remembered from one reading to the next: 5 minutes,
#: so that short narrations are measured once.
_REMEMBERED = 300 * SAMPLE_RATE
#: How much of a sample of room tone the next one holds, and how many are made at once.
_TONE_POLE = 0.9
_TONE_BLOCK = 1 << 16


class Parts(Protocol):
    """Segments and the pause after each: a list, or what reads them from where they are kept."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int, /) -> tuple[NDArray[np.float32], float]:
        """Samples, ``[n]`` (float, mono, any n), and the pause after them in seconds."""


@dataclass(frozen=True)
class _Placed:
    """The sound of a segment on the narration's timeline, in samples."""

    number: int
    start: int
    length: int
    peak: float
    energies: NDArray[np.float64]

    @property
    def end(self) -> int:
        return self.start + self.length


class Mastering:
    """Segments joined to a narration of even loudness, given in blocks.

    Only the silent ends of a segment are trimmed, never a silence inside it. A pause reaches from
    the end of one segment's sound to the start of the next one's, and holds quiet room tone, which
    is always the same.

    Args:
        parts: the segments; the last one's pause is replaced by the tail. Read from the first to
            the last by the constructor, some or all again where peaks have to be limited, and again
            by ``blocks``.
        rate: samples a second.
        target_lufs: integrated loudness by BS.1770. It is missed only by silence, by speech that
            would need more than 30 dB of gain, and by sound so peaky that the ceiling forbids it.
        ceiling_dbtp: the largest true peak.

    Attributes:
        length: samples of the whole narration.
        loudness: its integrated loudness in LUFS, ``-inf`` where there is nothing but silence.
        spans: first sample and the one after the last of each segment's sound, pads included; of
            length 0 for a segment that is silent.

    Raises:
        ValueError: a segment is not one-dimensional or holds NaN or infinity; a pause is negative.
    """

    def __init__(
        self,
        parts: Parts,
        rate: int = SAMPLE_RATE,
        *,
        target_lufs: float = TARGET_LUFS,
        ceiling_dbtp: float = CEILING_DBTP,
    ) -> None:
        self._parts = parts
        self._rate = rate
        self._ceiling = ratio(ceiling_dbtp - _LIMITER_MARGIN_DB)
        self._placed: list[_Placed] = []
        self._remembered: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._room = _REMEMBERED
        self.spans: list[tuple[int, int]] = []
        self.length = self._place()
        self._gain, self.loudness = self._level(target_lufs)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The narration from its head to its tail: float32 ``[n]`` of any lengths above 0.

        The same samples each time it is called.
        """
        tone = _RoomTone()
        position = 0
        for placed in self._placed:
            yield from tone.blocks(placed.start - position)
            sound = self._limited(placed, self._gain)
            yield sound + tone.take(len(sound))
            position = placed.end
        yield from tone.blocks(self.length - position)

    def _place(self) -> int:
        """Measure each segment and give it its place; the length of the whole."""
        pad = round(PAD_SECONDS * self._rate)
        position = round(HEAD_SECONDS * self._rate)
        pause = 2 * pad
        for number in range(len(self._parts)):
            samples, pause_seconds = self._parts[number]
            _check(samples, pause_seconds, number)
            sound = _trimmed(samples, self._rate)
            if len(sound):
                if self._placed:
                    # The pads of both neighbours are part of the pause.
                    position += max(0, pause - 2 * pad)
                peaks = true_peaks(sound)
                energies = step_energies(sound, self._rate, position)
                peak = float(peaks.max())
                self._placed.append(_Placed(number, position, len(sound), peak, energies))
                self._remember(number, sound, peaks)
                pause = 0
            self.spans.append((position, position + len(sound)))
            position += len(sound)
            # A silent segment adds its pause to the one before it only where it is longer.
            pause = max(pause, round(pause_seconds * self._rate))
        return position + round(TAIL_SECONDS * self._rate)

    def _remember(
        self, number: int, sound: NDArray[np.float32], peaks: NDArray[np.float32]
    ) -> None:
        if len(sound) <= self._room:
            self._room -= len(sound)
            self._remembered[number] = sound, peaks

    def _level(self, target_lufs: float) -> tuple[float, float]:
        """The gain, as a factor, and the loudness that it gives."""
        unlimited = self._loudness(1.0, math.inf)
        if unlimited == -math.inf:
            return 1.0, unlimited
        gain = min(target_lufs - unlimited, MOST_GAIN_DB)
        reached = self._loudness(ratio(gain), self._ceiling)
        for _ in range(_LEVEL_ROUNDS):
            missing = target_lufs - reached
            if abs(missing) < _LEVEL_TOLERANCE_LU or gain + missing > MOST_GAIN_DB:
                break
            gain += missing
            reached = self._loudness(ratio(gain), self._ceiling)
        return ratio(gain), reached

    def _loudness(self, gain: float, ceiling: float) -> float:
        """The loudness in LUFS of all with a gain and a ceiling. Only what is limited is read."""
        step = step_samples(self._rate)
        total = np.zeros(-(-self.length // step))
        for placed in self._placed:
            energies = placed.energies * gain**2
            if placed.peak * gain > ceiling:
                sound = self._limited(placed, gain)
                energies = step_energies(sound, self._rate, placed.start)
            first = placed.start // step
            total[first : first + len(energies)] += energies
        return gated_loudness(total, self.length, self._rate)

    def _limited(self, placed: _Placed, gain: float) -> NDArray[np.float32]:
        # By itself: what the limiter does to a sound ends within its pads.
        if placed.number in self._remembered:
            sound, peaks = self._remembered[placed.number]
        else:
            sound, peaks = _trimmed(self._parts[placed.number][0], self._rate), None
        if placed.peak * gain <= self._ceiling:
            return sound * np.float32(gain)
        peaks = true_peaks(sound) if peaks is None else peaks
        return limited(sound, peaks, gain, self._ceiling, self._rate)


def master(
    parts: Parts,
    rate: int = SAMPLE_RATE,
    *,
    target_lufs: float = TARGET_LUFS,
) -> NDArray[np.float32]:
    """All blocks of a ``Mastering`` as one array, float32 ``[n]``, for what fits into memory.

    Raises:
        ValueError: as ``Mastering``.
    """
    return np.concatenate(list(Mastering(parts, rate, target_lufs=target_lufs).blocks()))


def pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in −1..1 as 16-bit PCM: rounded to the nearest, clipped, without dither.

    Raises:
        ValueError: a sample is NaN.
    """
    if np.isnan(samples).any():
        raise ValueError("the samples hold NaN")
    scaled = np.rint(samples.astype(np.float64) * 32767)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _check(samples: NDArray[np.float32], pause_seconds: float, number: int) -> None:
    if samples.ndim != 1:
        raise ValueError(f"segment {number} has {samples.ndim} dimensions instead of one")
    if not np.isfinite(samples).all():
        raise ValueError(f"segment {number} holds NaN or infinity")
    if not 0 <= pause_seconds < math.inf:
        raise ValueError(f"the pause after segment {number} is {pause_seconds} s")


def _trimmed(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """The sound of a segment with its pads and fades; empty if it is silent."""
    frame = max(1, round(LEVEL_SECONDS * rate))
    places = np.flatnonzero(sounding(levels(samples, rate)))
    if not len(places):
        return np.zeros(0, dtype=np.float32)

    pad = round(PAD_SECONDS * rate)
    start = int(places[0]) * frame
    end = min(len(samples), (int(places[-1]) + 1) * frame)
    kept = np.zeros(end - start + 2 * pad, dtype=np.float32)
    low, high = max(0, start - pad), min(len(samples), end + pad)
    offset = low - (start - pad)
    kept[offset : offset + high - low] = samples[low:high]
    fade = min(round(FADE_SECONDS * rate), (high - low) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(1, fade))).astype(np.float32)
    kept[offset : offset + fade] *= ramp
    kept[offset + high - low - fade : offset + high - low] *= ramp[::-1]
    return kept


class _RoomTone:
    """Soft noise that falls towards the treble: the same from its start, whenever it is made."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(1770)
        self._state = np.zeros(1)

    def take(self, length: int) -> NDArray[np.float32]:
        noise = self._random.standard_normal(length, dtype=np.float32)
        soft, self._state = lfilter([1.0], [1.0, -_TONE_POLE], noise, zi=self._state)
        # The root mean square of such noise is 1 / sqrt(1 - pole²).
        level = ratio(ROOM_TONE_DBFS) * math.sqrt(1 - _TONE_POLE**2)
        return np.asarray(soft * level, dtype=np.float32)

    def blocks(self, length: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, length, _TONE_BLOCK):
            yield self.take(min(_TONE_BLOCK, length - start))

"""Takes of speech to one finished narration: trims, joins, pauses, room tone, levels, loudness.

    mastering = Mastering([Part(samples, pause_seconds=0.45), ...])
    for block in mastering.blocks():
        out.write(pcm16(block))

However long the narration, one take is in memory at a time, and for each second of it less than
a kilobyte of measurements: the takes are read several times, from wherever they are kept.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from csm.audio import SAMPLE_RATE, ratio
from csm.mastering.levels import EMPHASIS_LU, level_gains
from csm.mastering.limiter import limited
from csm.mastering.loudness import (
    gated_loudness,
    integrated_loudness,
    step_energies,
    step_samples,
    true_peaks,
)
from csm.mastering.room_tone import RoomTone
from csm.mastering.sounds import PAD_SECONDS, padded, sentence_gaps, sound_of

#: Integrated loudness by default. Speech with its pauses then has an RMS between the −23 and
#: −18 dBFS that audiobook shops ask for, with room for its peaks.
TARGET_LUFS = -20.0
#: Peaks between samples included; the shops' limit is −3 dBFS.
CEILING_DBTP = -3.0
#: The most that quiet speech is raised; beyond it there is only noise to be heard.
MOST_GAIN_DB = 30.0

#: Seconds before the first sound and after the last.
HEAD_SECONDS = 0.5
TAIL_SECONDS = 1.0

#: A pause that a voice made is stretched to at most this many times its length, or by this many
#: seconds where that is more: what was hardly a pause may be inside a word.
_MOST_STRETCHED = 4.0
_STRETCHED_SECONDS = 0.3
#: Between the ceiling and what the limiter aims at: room for the room tone and for its own curve.
_LIMITER_MARGIN_DB = 0.1
#: Limiting lowers the loudness, and raising it again needs more limiting.
_LEVEL_ROUNDS = 6
_LEVEL_TOLERANCE_LU = 0.05
#: Samples of sound, with their peaks, that are remembered from one reading to the next: 5 minutes,
#: so that short narrations are measured once.
_REMEMBERED = 300 * SAMPLE_RATE


@dataclass(frozen=True)
class InnerPause:
    """A sentence's end inside a take.

    Attributes:
        share: of the take's text, what is before it, 0..1.
        seconds: the pause that is wanted there.
        exact: whether it is made so long however short the voice's own was.
    """

    share: float
    seconds: float
    exact: bool = False


@dataclass(frozen=True)
class Part:
    """A take of one segment.

    Attributes:
        samples: ``[n]`` (float, mono, any n).
        pause_seconds: after it.
        inner: the ends of its sentences but the last, in order.
        allowed_lu: how far its level may stay below and above the narration's, in LU.
    """

    samples: NDArray[np.float32]
    pause_seconds: float
    inner: tuple[InnerPause, ...] = ()
    allowed_lu: tuple[float, float] = (-EMPHASIS_LU, EMPHASIS_LU)


class Parts(Protocol):
    """Takes of all segments: a list, or what reads them from where they are kept."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, number: int, /) -> Part:
        """One of them, from 0."""


@dataclass(frozen=True)
class _Cut:
    """What of a take's samples is one sound, what its pads may hold, and its share of the text."""

    start: int
    end: int
    low: int
    high: int
    share: float


@dataclass(frozen=True)
class _Placed:
    """A sound, a take or what is between two of its pauses, on the narration's timeline."""

    number: int
    piece: int
    cut: _Cut
    start: int
    length: int
    peak: float
    energies: NDArray[np.float64]

    @property
    def end(self) -> int:
        return self.start + self.length


class Mastering:
    """Takes joined to a narration of even pauses and loudness, given in blocks.

    A pause reaches from the end of one sound to the start of the next one, and holds quiet room
    tone, which is always the same. Only the silent ends of a take are trimmed, and inside it the
    silences where its sentences end are made as long as those between takes; no other silence is
    touched.

    Args:
        parts: the takes; the last one's pause is replaced by the tail. Read from the first to
            the last by the constructor, some or all again where peaks have to be limited, and again
            by ``blocks``.
        rate: samples a second.
        target_lufs: integrated loudness by BS.1770. It is missed only by silence, by speech that
            would need more than 30 dB of gain, and by sound so peaky that the ceiling forbids it.
        ceiling_dbtp: the largest true peak.

    Attributes:
        length: samples of the whole narration.
        loudness: its integrated loudness in LUFS, ``-inf`` where there is nothing but silence.
        spans: first sample and the one after the last of each take's sound, pads included; of
            length 0 for a take that is silent.
        sentences: of each take, the first sample of each of its sentences: where the voice made no
            pause, as the text has it.

    Raises:
        ValueError: a take is not one-dimensional or holds NaN or infinity; a pause is negative.
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
        self._pad = round(PAD_SECONDS * rate)
        self._ceiling = ratio(ceiling_dbtp - _LIMITER_MARGIN_DB)
        self._placed: list[_Placed] = []
        self._remembered: dict[
            tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]
        ] = {}
        self._room = _REMEMBERED
        self.spans: list[tuple[int, int]] = []
        self.sentences: list[tuple[int, ...]] = []
        self.length, self._gains = self._place()
        self._gain, self.loudness = self._level(target_lufs)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The narration from its head to its tail: float32 ``[n]`` of any lengths above 0.

        The same samples each time it is called.
        """
        tone = RoomTone()
        position = 0
        for placed in self._placed:
            yield from tone.blocks(placed.start - position)
            sound = self._limited(placed, self._gain)
            yield sound + tone.take(len(sound))
            position = placed.end
        yield from tone.blocks(self.length - position)

    def place(self, number: int, sample: int) -> int:
        """Where on the timeline a sample of a take is heard.

        Args:
            number: the take's.
            sample: of its samples; one in a silence that was trimmed is where the sound goes on.
        """
        first = bisect_left(self._placed, number, key=lambda placed: placed.number)
        found = self.spans[number][0]
        for placed in self._placed[first:]:
            if placed.number != number:
                break
            begin = placed.start + self._pad
            if sample < placed.cut.end:
                return begin + max(0, sample - placed.cut.start)
            found = begin + placed.cut.end - placed.cut.start
        return found

    def _place(self) -> tuple[int, list[float]]:
        """Measure each take and give it its place; the length of the whole, and each one's gain."""
        loudness: list[float] = []
        seconds: list[float] = []
        allowed: list[tuple[float, float]] = []
        position = round(HEAD_SECONDS * self._rate)
        pause = 2 * self._pad
        for number in range(len(self._parts)):
            part = self._parts[number]
            _check(part, number)
            cuts, pauses = self._cut(part)
            begin = position
            for piece, (cut, inner) in enumerate(zip(cuts, pauses, strict=True)):
                if self._placed:
                    # The pads of both neighbours are part of the pause.
                    position += max(0, pause - 2 * self._pad)
                begin = position if not piece else begin
                position = self._place_one(number, piece, part, cut, position)
                pause = round(inner * self._rate)
            self.spans.append((begin, position))
            self.sentences.append(self._sentence_starts(part, cuts))
            sound = part.samples[cuts[0].start : cuts[-1].end] if cuts else part.samples[:0]
            loudness.append(integrated_loudness(sound, self._rate))
            seconds.append(len(sound) / self._rate)
            allowed.append(part.allowed_lu)
            # A silent take adds its pause to the one before it only where it is longer.
            after = round(part.pause_seconds * self._rate)
            pause = after if cuts else max(pause, after)
        return position + round(TAIL_SECONDS * self._rate), level_gains(loudness, seconds, allowed)

    def _place_one(self, number: int, piece: int, part: Part, cut: _Cut, position: int) -> int:
        sound = self._padded(part.samples, cut)
        peaks = true_peaks(sound)
        energies = step_energies(sound, self._rate, position)
        self._placed.append(
            _Placed(number, piece, cut, position, len(sound), float(peaks.max()), energies)
        )
        if len(sound) <= self._room:
            self._room -= len(sound)
            self._remembered[number, piece] = sound, peaks
        return position + len(sound)

    def _cut(self, part: Part) -> tuple[list[_Cut], list[float]]:
        """The sounds of a take, and the pause in seconds after each but the last, which has 0."""
        samples = part.samples
        start, end = sound_of(samples, self._rate)
        if start == end:
            return [], []
        gaps: list[tuple[int, int] | None] = []
        if part.inner:
            shares = [inner.share for inner in part.inner]
            gaps = sentence_gaps(samples[start:end], self._rate, shares)
        cuts: list[_Cut] = []
        pauses: list[float] = []
        begin, low, share = start, 0, 0.0
        for gap, inner in zip(gaps, part.inner, strict=True):
            if gap is None:
                continue
            stop, go = start + gap[0], start + gap[1]
            middle = (stop + go) // 2
            cuts.append(_Cut(begin, stop, low, middle, share))
            made = (go - stop) / self._rate
            most = max(_MOST_STRETCHED * made, made + _STRETCHED_SECONDS)
            pauses.append(inner.seconds if inner.exact else min(inner.seconds, most))
            begin, low, share = go, middle, inner.share
        return [*cuts, _Cut(begin, end, low, len(samples), share)], [*pauses, 0.0]

    def _sentence_starts(self, part: Part, cuts: Sequence[_Cut]) -> tuple[int, ...]:
        """Where the sentences of the take that was placed last begin on the timeline."""
        if not cuts:
            return (self.spans[-1][0],) * (len(part.inner) + 1)
        pieces = self._placed[-len(cuts) :]
        starts: list[int] = []
        for share in (0.0, *(inner.share for inner in part.inner)):
            place = max(n for n, cut in enumerate(cuts) if cut.share <= share)
            until = cuts[place + 1].share if place + 1 < len(cuts) else 1.0
            into = (share - cuts[place].share) / max(until - cuts[place].share, 1e-9)
            starts.append(pieces[place].start + round(into * pieces[place].length))
        return tuple(starts)

    def _level(self, target_lufs: float) -> tuple[float, float]:
        """The gain of all, as a factor, and the loudness that it gives."""
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
            own = gain * ratio(self._gains[placed.number])
            energies = placed.energies * own**2
            if placed.peak * own > ceiling:
                sound = self._limited(placed, gain)
                energies = step_energies(sound, self._rate, placed.start)
            first = placed.start // step
            total[first : first + len(energies)] += energies
        return gated_loudness(total, self.length, self._rate)

    def _limited(self, placed: _Placed, gain: float) -> NDArray[np.float32]:
        # By itself: what the limiter does to a sound ends within its pads.
        own = gain * ratio(self._gains[placed.number])
        if (placed.number, placed.piece) in self._remembered:
            sound, peaks = self._remembered[placed.number, placed.piece]
        else:
            sound = self._padded(self._parts[placed.number].samples, placed.cut)
            peaks = None
        if placed.peak * own <= self._ceiling:
            return sound * np.float32(own)
        peaks = true_peaks(sound) if peaks is None else peaks
        return limited(sound, peaks, own, self._ceiling, self._rate)

    def _padded(self, samples: NDArray[np.float32], cut: _Cut) -> NDArray[np.float32]:
        return padded(samples, self._rate, cut.start, cut.end, cut.low, cut.high)


def pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Samples in −1..1 as 16-bit PCM: rounded to the nearest, clipped, without dither.

    Raises:
        ValueError: a sample is NaN.
    """
    if np.isnan(samples).any():
        raise ValueError("the samples hold NaN")
    scaled = np.rint(samples.astype(np.float64) * 32767)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _check(part: Part, number: int) -> None:
    samples = part.samples
    if samples.ndim != 1:
        raise ValueError(f"segment {number} has {samples.ndim} dimensions instead of one")
    if not np.isfinite(samples).all():
        raise ValueError(f"segment {number} holds NaN or infinity")
    if not all(0 <= one < math.inf for one in (part.pause_seconds, *_inner_seconds(part))):
        raise ValueError(f"the pause after segment {number} is {part.pause_seconds} s")


def _inner_seconds(part: Part) -> list[float]:
    return [inner.seconds for inner in part.inner]

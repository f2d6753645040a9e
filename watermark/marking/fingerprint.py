"""A fingerprint of a narration: whether a file that bears its mark is the same recording.

A mark can be copied: who reads its cells from one file can press them on other speech, without the
key. The chance that a detector gives then excludes chance, not the forger. What he cannot copy is
the voice. So a narration's fingerprint is kept, and a file that bears the mark is held against it:
*same mark* and *same recording* are two findings.

A fingerprint says for each eighth of a second and each of 24 pairs of neighbouring bands whether
the difference of their levels grew or fell: 24 bits, 1.4 KB a minute, 1.9 as text (after J.
Haitsma, T. Kalker, A highly robust audio fingerprinting system, 2002). What equalises, compresses
or transcodes sound changes few of them; other speech agrees on half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray

from watermark.chunks import Chunk, Chunks
from watermark.detection.spans import Span

#: Of a fingerprint, and the bytes of each.
FRAMES_A_SECOND = 8
BYTES_A_FRAME = 3
#: Of the form that this module makes, for whoever keeps fingerprints.
FORM = 1
#: Recordings at least this similar are one: true copies reached 0.20 and more, forged ones 0.06.
SAME = 0.12
#: Shorter sound is not judged.
LEAST_SECONDS = 5.0

_PAIRS = 8 * BYTES_A_FRAME
#: Bands of what a telephone leaves, each a little wider than the last, Hz.
_EDGES = np.geomspace(300, 3_600, _PAIRS + 2)
#: Short frames to a fingerprint's frame, and how many of them its level is the mean of.
_SHORT = 4
_MEAN = 10
_SHORT_RATE = FRAMES_A_SECOND * _SHORT
#: A short frame's window, seconds.
_WINDOW_SECONDS = 0.08
#: How far off a mark's place may be, in short frames, and the seconds over which that is the same:
#: a place is known to a cell, and drifts.
_REACH = 8
_PIECE_SECONDS = 60.0
_SILENCE = 1e-12


@dataclass(frozen=True)
class Likeness:
    """How alike two recordings are where one bears the other's mark.

    Attributes:
        similarity: 1 for the same bits, around 0 for other speech.
        seconds: of the narration that were compared.
    """

    similarity: float
    seconds: float

    @property
    def same(self) -> bool | None:
        """Whether they are one recording; None where too little could be compared to say."""
        return self.similarity >= SAME if self.seconds >= LEAST_SECONDS else None


class Levels:
    """Reads the levels of bands from a stream: feed blocks of any size, then ``finish``.

    Memory grows by 3 KB a second of what was not drained.

    Args:
        rate: samples a second, 8,000 to 192,000.
        pitch: how much higher the sound is than the narration was.

    Raises:
        ValueError: the rate is out of range.
    """

    def __init__(self, rate: int, pitch: float = 1.0) -> None:
        self._chunks = Chunks(rate, 20.0, 40.0)
        self._rate = rate
        size = 2 * round(rate * _WINDOW_SECONDS / 2)
        hertz = np.arange(size // 2 + 1) * rate / size
        low, high = _EDGES[:-1] * pitch, _EDGES[1:] * pitch
        share = np.minimum(hertz[:, None] + rate / size / 2, high)
        share = share - np.maximum(hertz[:, None] - rate / size / 2, low)
        self._bands = np.maximum(share, 0).astype(np.float32)
        self._window = np.hanning(size).astype(np.float32)
        self._waiting = np.zeros(size // 2, np.float32)
        #: The stream's sample that the first of those waiting is.
        self._first = -(size // 2)
        self._rows: list[NDArray[np.float32]] = []
        self._count = 0

    def feed(self, block: ArrayLike) -> None:
        """Take samples in.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        for chunk in self._chunks.feed(block):
            self._take(chunk)

    def finish(self) -> NDArray[np.float32]:
        """Powers of the bands, ``[frames, bands]``, 32 frames a second, the first on sample 0."""
        for chunk in self._chunks.finish():
            self._take(chunk)
        return self.drain()

    def drain(self) -> NDArray[np.float32]:
        """Those that are read so far and were not drained."""
        rows = np.concatenate([np.zeros((0, _PAIRS + 1), np.float32), *self._rows])
        self._rows = []
        return rows

    def _take(self, chunk: Chunk) -> None:
        samples = np.concatenate([self._waiting, chunk.samples])
        half = len(self._window) // 2
        last = self._first + len(samples) - half
        ends = np.arange(self._count, int(last * _SHORT_RATE / self._rate) + 1)
        centres = np.rint(ends * (self._rate / _SHORT_RATE)).astype(int)
        centres = centres[centres <= last]
        frames = samples[(centres - half - self._first)[:, None] + np.arange(2 * half)]
        power = np.abs(scipy.fft.rfft(frames * self._window, axis=1)) ** 2
        self._rows.append(np.asarray(power @ self._bands, np.float32))
        self._count += len(centres)
        done = round(self._count * (self._rate / _SHORT_RATE)) - half - self._first
        self._waiting = samples[max(done, 0) :]
        self._first += max(done, 0)


def _bits(powers: NDArray[np.float32], at: NDArray[np.float64], mean: float) -> NDArray[np.bool_]:
    """Bits of frames centred on short frames ``at``, ``[len(at) - 1, _PAIRS]``.

    Args:
        powers: as ``Levels`` gives them.
        at: where frames are centred, in short frames.
        mean: how many short frames each is the mean of.
    """
    sums = np.concatenate([np.zeros((1, powers.shape[1])), np.cumsum(powers, axis=0, dtype=float)])
    first = np.clip(np.rint(at - mean / 2).astype(int), 0, len(powers) - 1)
    last = np.clip(np.rint(at + mean / 2).astype(int), first + 1, len(powers))
    level = np.log((sums[last] - sums[first]) / (last - first)[:, None] + _SILENCE)
    across = np.diff(level, axis=1)
    bits: NDArray[np.bool_] = np.diff(across, axis=0) > 0
    return bits


class Fingerprinter:
    """Makes a narration's fingerprint: feed blocks of any size, then ``finish``.

    Memory grows by 24 bytes a second.

    Args:
        rate: samples a second, 8,000 to 192,000.

    Raises:
        ValueError: the rate is out of range.
    """

    def __init__(self, rate: int) -> None:
        self._levels = Levels(rate)
        self._powers = self._levels.drain()
        #: The stream's short frame that the first of them is.
        self._first = 0
        self._made = bytearray()

    def feed(self, block: ArrayLike) -> None:
        """Take samples in.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        self._levels.feed(block)
        self._take(self._levels.drain(), ahead=_MEAN)

    def finish(self) -> bytes:
        """The fingerprint, ``BYTES_A_FRAME`` for each eighth of a second; empty of hardly any."""
        self._take(self._levels.finish(), ahead=0)
        return bytes(self._made)

    def _take(self, powers: NDArray[np.float32], ahead: int) -> None:
        """Make what frames can be made; ``ahead`` short frames must follow the last."""
        self._powers = np.concatenate([self._powers, powers])
        made = len(self._made) // BYTES_A_FRAME
        count = (self._first + len(self._powers) - ahead) // _SHORT
        if count - made < 2:
            return
        at = np.asarray(np.arange(made, count) * _SHORT - self._first, np.float64)
        self._made += np.packbits(_bits(self._powers, at, _MEAN), axis=1).tobytes()
        done = max((count - 1) * _SHORT - _MEAN - self._first, 0)
        self._powers = self._powers[done:]
        self._first += done


def fingerprint_of(samples: ArrayLike, rate: int) -> bytes:
    """A narration's fingerprint, ``BYTES_A_FRAME`` for each eighth of a second.

    Args:
        samples: ``[n]`` or ``[n, channels]``, float or integer PCM.
        rate: samples a second, 8,000 to 192,000.

    Raises:
        ValueError: the rate is out of range, or the shape or type is no sound's.
    """
    fingerprinter = Fingerprinter(rate)
    fingerprinter.feed(samples)
    return fingerprinter.finish()


def likeness(powers: NDArray[np.float32], fingerprint: bytes, spans: Sequence[Span]) -> Likeness:
    """How alike a file that bears a narration's mark is to that narration.

    Args:
        powers: of the file's bands, as ``Levels`` gives them for the pitch of its spans.
        fingerprint: the narration's.
        spans: where in the file the mark is, and where in the narration that is.
    """
    octets = np.frombuffer(
        fingerprint[: len(fingerprint) // BYTES_A_FRAME * BYTES_A_FRAME], np.uint8
    )
    known = np.unpackbits(octets.reshape(-1, BYTES_A_FRAME), axis=1).astype(np.bool_)
    agreed = compared = frames = 0
    for span in (piece for whole in spans for piece in _pieces(whole)):
        pace = span.speed * span.tempo
        first = int(np.ceil(span.offset_seconds * FRAMES_A_SECOND))
        length = (span.end - span.begin) * pace
        last = min(first + int(length * FRAMES_A_SECOND), len(known))
        if last - first < 2 or not len(powers):
            continue
        narrated = np.arange(first, last + 1) / FRAMES_A_SECOND
        seconds = span.begin + (narrated - span.offset_seconds) / pace
        at = np.asarray(seconds * _SHORT_RATE, np.float64)
        expected = known[first:last]
        agreements = [
            int((_bits(powers, at + shift, _MEAN / pace) == expected).sum())
            for shift in range(-_REACH, _REACH + 1)
        ]
        agreed += max(agreements)
        compared += expected.size
        frames += len(expected)
    similarity = 2 * agreed / compared - 1 if compared else 0.0
    return Likeness(similarity, frames / FRAMES_A_SECOND)


def _pieces(span: Span) -> Iterator[Span]:
    """A span in even pieces of a minute at most."""
    length = span.end - span.begin
    count = max(int(np.ceil(min(length / _PIECE_SECONDS, 1e4))), 1)
    for number in range(count):
        begin = span.begin + number * length / count
        yield replace(
            span,
            begin=begin,
            end=begin + length / count,
            offset_seconds=span.offset_seconds + (begin - span.begin) * span.speed * span.tempo,
        )

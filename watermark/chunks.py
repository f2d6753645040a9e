"""A stream of samples in any layout, cut into mono chunks of a minute or so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from watermark.samples import as_float, check_rate, mono


@dataclass(frozen=True)
class Chunk:
    """A stretch of a stream.

    Attributes:
        begin: its first sample, counted from the stream's.
        samples: ``[n]``, finite.
    """

    begin: int
    samples: NDArray[np.float32]


class Chunks:
    """Cuts a stream: feed blocks of any size, then ``finish``.

    Args:
        rate: samples a second, 8,000 to 192,000.
        seconds: length of a chunk; to half a sample, which does not add up.
        last_seconds: the most that the last chunk may have, so that no short rest remains.

    Raises:
        ValueError: the rate is out of range.
    """

    def __init__(self, rate: int, seconds: float, last_seconds: float) -> None:
        self._chunk = seconds * check_rate(rate)
        self._most = round(last_seconds * rate)
        self._waiting: list[NDArray[np.float32]] = []
        self._held = 0
        self._given = 0
        self._count = 0

    def feed(self, block: ArrayLike) -> Iterator[Chunk]:
        """Take samples in, give what is complete.

        Args:
            block: ``[n]`` or ``[n, channels]``, float or integer PCM of any level. What is not
                finite is taken as silence.

        Raises:
            ValueError: the shape or type is no sound's.
        """
        samples = as_float(block)
        samples = samples[:, None] if samples.ndim == 1 else samples
        if self._waiting and self._waiting[0].shape[1] != samples.shape[1]:
            raise ValueError(f"a block has {samples.shape[1]} channels, unlike those before")
        while len(samples):
            part = samples[: self._most - self._held]
            self._waiting.append(np.where(np.isfinite(part), part, np.float32(0)))
            self._held += len(part)
            samples = samples[len(part) :]
            if self._held == self._most:
                self._count += 1
                yield self._take(round(self._count * self._chunk) - self._given)

    def finish(self) -> Iterator[Chunk]:
        """What is left, if anything is."""
        if self._held:
            yield self._take(self._held)

    def _take(self, count: int) -> Chunk:
        waiting = np.concatenate(self._waiting)
        rest = waiting[count:]
        self._waiting, self._held = ([rest.copy()] if len(rest) else []), len(rest)
        chunk = Chunk(self._given, mono(waiting[:count]))
        self._given += count
        return chunk

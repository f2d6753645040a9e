"""A finished narration measured on its file: the whole, and each segment in it."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from csm.audio import decibels
from csm.mastering.loudness import gated_loudness, step_energies, step_samples, true_peaks
from narrator_daemon.narration.narrated import NarratedPart, Narration

#: What is worth a listen: so many LU from the median of the segments, …
_ODD_LOUDNESS_LU = 6.0
#: … or so many times the median of their seconds a character, of segments of this length.
_ODD_PACE = (0.6, 1.6)
_LEAST_CHARACTERS = 40

#: Columns of a waveform of the whole.
COLUMNS = 1200


@dataclass(frozen=True)
class InspectedPart:
    """A segment in the file.

    Attributes:
        part: what was spoken, where, and what the engine says of it.
        loudness_lufs: gated, ``-inf`` for silence.
        true_peak_dbtp: its highest peak.
        seconds_a_character: its pace.
        oddities: what is unlike the others or was found by the judge of takes, in words.
    """

    part: NarratedPart
    loudness_lufs: float
    true_peak_dbtp: float
    seconds_a_character: float
    oddities: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A finished narration, measured.

    Attributes:
        loudness_lufs: of the whole by BS.1770.
        true_peak_dbtp: of the whole.
        floor_dbfs: root mean square of the loudest pause, head and tail included.
        head_seconds: before the first sound.
        tail_seconds: after the last.
        outline: lowest and highest sample in each of ``COLUMNS`` stretches, ``[COLUMNS, 2]``.
        parts: the segments, in order.
    """

    loudness_lufs: float
    true_peak_dbtp: float
    floor_dbfs: float
    head_seconds: float
    tail_seconds: float
    outline: NDArray[np.float32]
    parts: tuple[InspectedPart, ...]


@dataclass(frozen=True)
class _Measured:
    part: NarratedPart
    loudness: float
    peak: float

    @property
    def pace(self) -> float:
        return (self.part.end_seconds - self.part.start_seconds) / max(1, len(self.part.text))


def inspect(wav: Path, narration: Narration) -> Inspection:
    """Measure a file. Memory holds a segment at a time.

    Args:
        wav: the file that ``narrate`` wrote.
        narration: what it said of it.

    Raises:
        OSError: the file cannot be read.
    """
    with soundfile.SoundFile(os.fsencode(wav)) as file:
        rate, length = file.samplerate, len(file)
        energies = np.zeros(-(-length // step_samples(rate)))
        outline = np.zeros((COLUMNS, 2), dtype=np.float32)
        peak = floor = 0.0
        measured: list[_Measured] = []
        for part, start, samples in _stretches(file, narration.parts):
            found = step_energies(samples, rate, start)
            first = start // step_samples(rate)
            energies[first : first + len(found)] += found
            _draw(outline, samples, start / length, len(samples) / length)
            highest = float(true_peaks(samples).max(initial=0.0))
            peak = max(peak, highest)
            if part is None:
                floor = max(floor, float(np.sqrt(np.mean(np.square(samples)))))
            else:
                loudness = gated_loudness(found, len(samples), rate)
                measured.append(_Measured(part, loudness, decibels(highest)))
    return Inspection(
        loudness_lufs=gated_loudness(energies, length, rate),
        true_peak_dbtp=decibels(peak),
        floor_dbfs=decibels(floor),
        head_seconds=narration.parts[0].start_seconds,
        tail_seconds=length / rate - narration.parts[-1].end_seconds,
        outline=outline,
        parts=_compared(measured),
    )


def _stretches(
    file: Any, parts: tuple[NarratedPart, ...]
) -> Iterator[tuple[NarratedPart | None, int, NDArray[np.float32]]]:
    """The whole file, cut into segments and the pauses between them (None)."""
    position = 0
    for part in (*parts, None):
        end = len(file) if part is None else round(part.start_seconds * file.samplerate)
        if end > position:
            yield None, position, file.read(end - position, dtype="float32")
        position = end
        if part is not None:
            end = round(part.end_seconds * file.samplerate)
            yield part, position, file.read(end - position, dtype="float32")
            position = end


def _draw(
    outline: NDArray[np.float32], samples: NDArray[np.float32], start: float, share: float
) -> None:
    """Widen the columns that a stretch falls into; ``start`` and ``share`` are of the whole."""
    if not len(samples):
        return
    places = (start + share * np.arange(len(samples)) / len(samples)) * len(outline)
    columns = np.minimum(places.astype(np.int64), len(outline) - 1)
    edges = np.concatenate(([0], np.flatnonzero(np.diff(columns)) + 1))
    touched = columns[edges]
    lowest = np.minimum.reduceat(samples, edges)
    highest = np.maximum.reduceat(samples, edges)
    outline[touched, 0] = np.minimum(outline[touched, 0], lowest)
    outline[touched, 1] = np.maximum(outline[touched, 1], highest)


def outline_of(samples: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Lowest and highest sample in each of so many equal stretches, ``[columns, 2]``."""
    outline = np.zeros((columns, 2), dtype=np.float32)
    _draw(outline, samples, 0.0, 1.0)
    return outline


def _compared(measured: list[_Measured]) -> tuple[InspectedPart, ...]:
    sounding = [one for one in measured if one.loudness > -math.inf]
    long = [one for one in sounding if len(one.part.text) >= _LEAST_CHARACTERS]
    loudness = statistics.median(one.loudness for one in sounding) if sounding else 0.0
    pace = statistics.median(one.pace for one in long) if long else 0.0
    return tuple(
        InspectedPart(
            one.part, one.loudness, one.peak, one.pace, tuple(_oddities(one, loudness, pace))
        )
        for one in measured
    )


def _oddities(one: _Measured, loudness: float, pace: float) -> Iterator[str]:
    faults = one.part.note.get("faults")
    if isinstance(faults, dict):
        yield from (str(fault).replace("_", " ") for fault in faults)
    if one.loudness == -math.inf:
        yield "silent"
        return
    if abs(one.loudness - loudness) > _ODD_LOUDNESS_LU:
        yield f"{one.loudness - loudness:+.0f} LU beside the others"
    if len(one.part.text) >= _LEAST_CHARACTERS:
        slowness = one.pace / pace
        if not _ODD_PACE[0] <= slowness <= _ODD_PACE[1]:
            yield f"{slowness:.1f} times the others' seconds a character"

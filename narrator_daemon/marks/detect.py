"""From an audio file to the books whose marks are in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import watermark
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.keys import NamedKey


@dataclass(frozen=True)
class Source:
    """A book whose mark is in a file.

    Attributes:
        book_id: whose; None where the index is not known.
        key_name: what the key is called that it was made with.
        sighting: all that the detector says.
    """

    book_id: str | None
    key_name: str
    sighting: watermark.Sighting

    @property
    def name(self) -> str:
        """The book for people."""
        return self.book_id or f"index {self.sighting.book_index}, not known"

    @property
    def chance_of_error(self) -> str:
        """The probability of a false hit in the search that was done, for people."""
        probability = self.sighting.false_positive_probability
        return f"{probability:.0e}" if probability > 1e-99 else "below 1e-99"

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        sighting = self.sighting
        return {
            "book": self.book_id,
            "index": sighting.book_index,
            "key": self.key_name,
            "score": round(float(sighting.score), 2),
            "falsePositiveProbability": float(sighting.false_positive_probability),
            "method": sighting.method,
            "spans": [asdict(span) for span in sighting.spans],
        }


@dataclass(frozen=True)
class Finding:
    """What was found in one file.

    Attributes:
        path: the file.
        detection: all that the detector says.
        sources: the books it was made from, the surest first.
        note: what a person should know: too short, silent, damaged; else empty.
    """

    path: Path
    detection: watermark.Detection
    sources: tuple[Source, ...]
    note: str

    @property
    def book_id(self) -> str | None:
        """The likeliest book; None where no mark was found, or its index is not known."""
        return self.sources[0].book_id if self.sources else None

    def of_book(self, index: int) -> Source | None:
        """What says that a book is in it."""
        return next((each for each in self.sources if each.sighting.book_index == index), None)

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        found = self.detection
        best = self.sources[0].as_record() if self.sources else {}
        return {
            "file": str(self.path),
            "found": found.found,
            "book": self.book_id,
            "index": found.book_index,
            "key": best.get("key"),
            "score": round(float(found.score), 2),
            "falsePositiveProbability": float(found.false_positive_probability),
            "method": found.method,
            "seconds": round(found.seconds, 3),
            "offsetSeconds": found.offset_seconds,
            "speed": found.speed,
            "tempo": found.tempo,
            "pitch": found.pitch,
            "spans": best.get("spans", []),
            "others": [source.as_record() for source in self.sources[1:]],
            "note": self.note,
        }


def find(
    path: Path,
    keys: Sequence[NamedKey],
    known: Mapping[int, str],
    *,
    thorough: bool = False,
) -> Finding:
    """Search a file for the marks of any books, in bounded memory.

    Args:
        path: the file.
        keys: to try; each makes what is found a little less sure.
        known: index → book; an empty one searches without candidates.
        thorough: as for ``watermark.detect``.

    Raises:
        Unreadable: the file cannot be read.
    """
    with open_audio(path) as audio:
        detector = watermark.Detector(
            audio.rate, [each.key for each in keys], sorted(known) or None, thorough=thorough
        )
        for block in audio.blocks():
            detector.feed(at_most_two(block))
    detection = detector.finish()
    sources = tuple(
        Source(known.get(each.book_index), keys[each.key_index].name, each)
        for each in detection.sightings
    )
    note = "; ".join(filter(None, [detection.note, audio.damage]))
    return Finding(path, detection, sources, note)


def at_most_two(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """A block of many channels as their mean, so that they need no more memory than two."""
    return block if block.shape[1] <= 2 else block.mean(axis=1, keepdims=True)

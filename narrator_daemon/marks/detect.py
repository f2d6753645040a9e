"""From an audio file to the books whose marks are in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import watermark
from narrator_daemon.marks.allotment import FIRST_LOCAL
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.marks.ledger import Entry, Tables


@dataclass(frozen=True)
class Source:
    """A book whose mark is in a file.

    Attributes:
        entries: whose, by the tables that know the index; several where they contradict each other.
        key_name: what the key is called that it was made with.
        sighting: all that the detector says.
    """

    entries: tuple[Entry, ...]
    key_name: str
    sighting: watermark.Sighting

    @property
    def book_id(self) -> str | None:
        """Whose; None where no table knows the index, or tables contradict each other."""
        return None if self.ambiguous or not self.entries else self.entries[0].book_id

    @property
    def ambiguous(self) -> bool:
        """Whether it may be the mark of either of two tables."""
        return len({entry.book_id for entry in self.entries}) > 1

    @property
    def name(self) -> str:
        """The book for people."""
        if self.ambiguous:
            told = " or ".join(f"{entry.book_id} by {entry.table}" for entry in self.entries)
            return f"ambiguous: {told}"
        if self.entries:
            return self.entries[0].book_id
        where = "marked outside a database" if self.is_local else "not known"
        return f"index {self.sighting.book_index}, {where}"

    @property
    def is_local(self) -> bool:
        """Whether the index is one that is given out beside files, never by a database."""
        return self.sighting.book_index >= FIRST_LOCAL

    @property
    def table(self) -> str:
        """Which table named it, for people; empty where none did."""
        return " and ".join(entry.table for entry in self.entries)

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
            "table": self.table,
            "ambiguous": [asdict(entry) for entry in self.entries] if self.ambiguous else [],
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

    @property
    def ambiguous(self) -> bool:
        """Whether a mark in it may be that of either of two books."""
        return any(each.ambiguous for each in self.sources)

    def of_book(self, indices: Sequence[int]) -> Source | None:
        """What says that a book of one of these indices is in it."""
        return next((each for each in self.sources if each.sighting.book_index in indices), None)

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        found = self.detection
        best = self.sources[0].as_record() if self.sources else {}
        return {
            "file": str(self.path),
            "found": found.found,
            "book": self.book_id,
            "table": best.get("table", ""),
            "ambiguous": best.get("ambiguous", []),
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


class Search:
    """A search for the marks of any books, in any number of files.

    Args:
        keys: to try; each makes what is found a little less sure.
        tables: index → books, for names.
        candidates: indices that are looked for; default: all that the tables know. None known, and
            the index is decoded from the sound alone.
        thorough: as for ``watermark.detect``.
    """

    def __init__(
        self,
        keys: Sequence[NamedKey],
        tables: Tables,
        candidates: Sequence[int] | None = None,
        *,
        thorough: bool = False,
    ) -> None:
        self._keys = keys
        self._tables = tables
        self._candidates = sorted(tables.known if candidates is None else candidates) or None
        self._thorough = thorough
        self._detector: watermark.Detector | None = None

    def examine(self, path: Path) -> Finding:
        """Search a file, in bounded memory.

        Raises:
            Unreadable: the file cannot be read.
        """
        with open_audio(path) as audio:
            detector = self._detector_for(audio.rate)
            for block in audio.blocks():
                detector.feed(at_most_two(block))
        detection = detector.finish()
        sources = tuple(
            Source(
                self._tables.known.get(each.book_index, ()), self._keys[each.key_index].name, each
            )
            for each in detection.sightings
        )
        note = "; ".join(filter(None, [detection.note, audio.damage, self._tables.note]))
        return Finding(path, detection, sources, note)

    def _detector_for(self, rate: int) -> watermark.Detector:
        # What is worked out for a million candidates takes seconds, and serves every file.
        if self._detector is None:
            self._detector = watermark.Detector(
                rate,
                [each.key for each in self._keys],
                self._candidates,
                thorough=self._thorough,
            )
            return self._detector
        return self._detector.renewed(rate)


def public_mark_in(path: Path) -> watermark.PublicDetection:
    """Search a file for the public mark, in bounded memory.

    Raises:
        Unreadable: the file cannot be read.
    """
    with open_audio(path) as audio:
        detector = watermark.PublicDetector(audio.rate)
        for block in audio.blocks():
            detector.feed(at_most_two(block))
    return detector.finish()


def at_most_two(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """A block of many channels as their mean, so that they need no more memory than two."""
    return block if block.shape[1] <= 2 else block.mean(axis=1, keepdims=True)

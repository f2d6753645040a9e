"""From an audio file to the book it was made from: the tables of marks, and detection.

Files that were marked outside a database have their index ↔ book table in a ``marks.json`` beside
them: ``{"books": {bookId: index}}``. Elsewhere ``/narrationMarks`` holds it.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import watermark
from narrator_daemon.config import ConfigError, require_project
from narrator_daemon.firebase.project import Project, is_key
from narrator_daemon.marks import allotment as marks
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.settings import Settings

MARKS_FILE = "marks.json"


class NoSuchMark(Exception):
    """A book has no watermark index; the message says where was looked."""


def read_marks(folder: Path) -> dict[int, str]:
    """Index → book of a folder's ``marks.json``; empty where there is none.

    Raises:
        ConfigError: the file is there and holds something else.
    """
    path = folder / MARKS_FILE
    try:
        books = json.loads(path.read_text(encoding="utf-8"))["books"]
        known = {index: str(book_id) for book_id, index in books.items() if marks.is_index(index)}
        if len(known) < len(books):
            raise ValueError("an index that is none, or that two books have")
        return known
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f'{path}: must hold {{"books": {{"BOOK_ID": INDEX}}}}') from None


def write_marks(folder: Path, known: dict[int, str]) -> None:
    """Write a folder's ``marks.json``."""
    books = {book_id: index for index, book_id in sorted(known.items())}
    document = json.dumps({"books": books}, ensure_ascii=False, indent=2) + "\n"
    new = folder / f"{MARKS_FILE}.new"
    # Of a file name that is no UTF-8, JSON can hold what UTF-8 cannot.
    new.write_text(document, encoding="utf-8", errors="backslashreplace")
    new.replace(folder / MARKS_FILE)


def local_index(folder: Path, book_id: str) -> int:
    """The index of a book that is marked outside a database, a new one if it has none yet.

    Processes that ask at once get different ones.

    Raises:
        ConfigError: the folder's ``marks.json`` cannot be used.
    """
    with (folder / f"{MARKS_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read_marks(folder)
        for index, known_id in known.items():
            if known_id == book_id:
                return index
        index = max(known, default=marks.FIRST_INDEX - 1) + 1
        write_marks(folder, known | {index: book_id})
        return index


def known_marks(settings: Settings, folder: Path) -> dict[int, str]:
    """Index → book, from a local ``marks.json``, else from the database where one is configured.

    Raises:
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    local = read_marks(folder)
    if local:
        return local
    with _database(settings) as project:
        return {} if project is None else marks.read_all(project)


def index_of(settings: Settings, folder: Path, book_id: str) -> int:
    """A book's index, from a local ``marks.json``, else from the database.

    Raises:
        NoSuchMark: it has none.
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    for index, known_id in read_marks(folder).items():
        if known_id == book_id:
            return index
    place = str(folder / MARKS_FILE)
    with _database(settings) as project:
        if project is not None:
            place += " or in the database"
            allotted = marks.index_of(project, book_id) if is_key(book_id) else None
            if allotted is not None:
                return allotted
        else:
            place += ", and no database is configured"
    raise NoSuchMark(
        f"The book {book_id!r} has no watermark index in {place}: it was never marked."
    )


def allotted_index(settings: Settings, folder: Path, book_id: str) -> int:
    """A book's index, a new one if it has none yet, from where :func:`known_marks` will find it.

    Raises:
        NoSuchMark: the database cannot hold a book of such an id.
        ConfigError: the local file cannot be used.
        Unavailable: the database did not answer.
    """
    if not read_marks(folder):
        with _database(settings) as project:
            if project is not None:
                if not is_key(book_id):
                    raise NoSuchMark(f"{book_id!r} cannot be the id of a book in the database.")
                return marks.allot(project, book_id)
    return local_index(folder, book_id)


@contextmanager
def _database(settings: Settings) -> Iterator[Project | None]:
    try:
        require_project(settings)
    except ConfigError:
        yield None
        return
    project = Project(settings)
    try:
        yield project
    finally:
        project.close()


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

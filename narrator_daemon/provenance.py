"""From an audio file to the book it was made from: reading files, local marks, detection.

Files that were marked outside a database have their index ↔ book table in a ``marks.json`` beside
them: ``{"books": {bookId: index}}``. Elsewhere ``/narrationMarks`` holds it.
"""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import watermark
from narrator_daemon import marks
from narrator_daemon.config import ConfigError, require_project
from narrator_daemon.project import Project
from narrator_daemon.settings import Settings

MARKS_FILE = "marks.json"


class Unreadable(Exception):
    """An audio file cannot be read; the message names it and says why."""


def read_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples, shape ``[n]`` or ``[n, channels]`` within -1..1, and their rate in Hz.

    Raises:
        Unreadable: it is not there or of no format that libsndfile reads (WAV, FLAC, Ogg, Opus,
            MP3, AIFF and others).
    """
    import soundfile

    if not path.is_file():
        raise Unreadable(f"{path}: is not a file")
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
        raise Unreadable(f"{path}: cannot be read as audio ({error})") from None
    return np.asarray(samples, dtype=np.float32), int(rate)


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
    new.write_text(document, encoding="utf-8")
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
    try:
        require_project(settings)
    except ConfigError:
        return {}
    project = Project(settings)
    try:
        return marks.read_all(project)
    finally:
        project.close()


@dataclass(frozen=True)
class Finding:
    """What was found in one file.

    Attributes:
        path: the file.
        book_id: the book it was made from; None where no mark was found, or its index is not known.
        detection: all that the detector says.
    """

    path: Path
    book_id: str | None
    detection: watermark.Detection

    @property
    def chance_of_error(self) -> str:
        """The probability of a false hit in the search that was done, for people."""
        probability = self.detection.false_positive_probability
        return f"{probability:.0e}" if probability > 1e-99 else "below 1e-99"

    def as_record(self) -> dict[str, Any]:
        """JSON values."""
        found = self.detection
        return {
            "file": str(self.path),
            "found": found.found,
            "book": self.book_id,
            "index": found.book_index,
            "score": round(float(found.score), 2),
            "falsePositiveProbability": float(found.false_positive_probability),
            "method": found.method,
            "note": found.note,
        }


def find(path: Path, key: bytes, known: dict[int, str]) -> Finding:
    """Search a file for the mark of any book.

    Args:
        path: the file.
        key: the secret key.
        known: index → book; an empty one searches without candidates.

    Raises:
        Unreadable: the file cannot be read.
    """
    samples, rate = read_audio(path)
    detection = watermark.detect(samples, rate, key, sorted(known) or None)
    index = detection.book_index if detection.found else None
    return Finding(path, None if index is None else known.get(index), detection)

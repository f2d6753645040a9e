"""Finished segments on disk, so that a narration which was interrupted goes on where it stopped.

Each narration has one file, to which a record is added for every segment that is spoken. A process
that is killed leaves at most one record cut short, and a record whose checksum is wrong counts as
not there, with all after it. Once the narration is published the file has another name and stays
for some days, so that a next take can have some segments of its own and all others of this one.
While it is in use it is locked; a second user of the same narration gets a file of its own that
nobody finds.

Names of files and records are digests: no text of a book is in them. Of a record's audio nothing is
in memory but what was asked for.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from narrator_daemon import logs
from narrator_daemon.settings import Kept

#: What nobody has touched for this long is removed, in seconds: a week.
FORGOTTEN_SECONDS = 7 * 86_400.0

#: Seconds between looks at what may be removed.
_LOOK_SECONDS = 60.0

_SUFFIX, _PUBLISHED = ".segments", ".published"
#: Which segment, key, bytes of the note, samples, checksum of all that follows the checksum.
_HEADER = struct.Struct("<4sI16sIII")
_MAGIC = b"seg1"
_CHUNK = 1 << 20

_log = logs.get(__name__)


class KeptSegments:
    """The folder of all narrations' segments. Safe to use from several threads and processes.

    Where the folder cannot be used this is logged once, nothing is kept, and the work in progress
    goes to the temporary folder, or to memory where there is none.

    Args:
        settings: where, and how much may be left there.
    """

    def __init__(self, settings: Kept) -> None:
        self._most = round(settings.max_gigabytes * 1e9)
        self._days = settings.days
        #: Where they are; None where nothing is kept.
        self.folder: Path | None = None
        self._looked_at = -math.inf
        if not self._most:
            return
        try:
            self.folder = _private_folder(settings.folder / "segments")
        except OSError as error:
            _log.warning(
                "segments_not_kept",
                folder=str(settings.folder),
                why=error.strerror or str(error),
                note="an interrupted narration starts anew; set kept.folder to a folder that can "
                "be written, or kept.max_gigabytes to 0",
            )

    def open(self, name: str, texts: Sequence[str]) -> SegmentFile:
        """The file of one narration, with what an earlier attempt left in it.

        Args:
            name: its identity: letters, digits, ``-`` and ``_``; the same for the same voice, seed
                and settings.
            texts: of all its segments, in order, with what else decides how one is said. What was
                kept for another text in the same place is not found.
        """
        if self.folder is not None:
            try:
                found = _open_locked(self.folder / (name + _SUFFIX))
                self._tidy()
            except OSError as error:
                _log.warning("segments_not_kept", why=error.strerror or str(error))
            else:
                if found is not None:
                    return SegmentFile(found, texts)
        with self.scratch() as file:
            return SegmentFile(os.dup(file.fileno()), texts)

    def reading(self, name: str, texts: Sequence[str]) -> SegmentFile | None:
        """What is kept of a narration, to be read; None where nothing is, or another uses it.

        Args:
            name: as it was opened by.
            texts: as for ``open``.
        """
        for suffix in (_PUBLISHED, _SUFFIX) if self.folder is not None else ():
            try:
                descriptor = os.open(
                    self._place(name, suffix), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
                )
            except OSError:
                continue
            if _lock(descriptor):
                return SegmentFile(descriptor, texts)
            os.close(descriptor)
        return None

    def _place(self, name: str, suffix: str = _SUFFIX) -> Path:
        assert self.folder is not None  # noqa: S101 — asked by the callers
        return self.folder / (name + suffix)

    def publish(self, name: str) -> None:
        """Take in that a narration is published: its segments stay for as long as is set."""
        if self.folder is None:
            return
        if not self._days:
            self.remove(name)
            return
        with suppress(OSError):
            self._place(name).replace(self._place(name, _PUBLISHED))
            os.utime(self._place(name, _PUBLISHED))

    def remove(self, name: str) -> None:
        """Forget a narration: nobody wants it any more."""
        if self.folder is not None:
            for suffix in (_SUFFIX, _PUBLISHED):
                with suppress(OSError):
                    self._place(name, suffix).unlink(missing_ok=True)

    def scratch(self) -> BinaryIO:
        """An empty file without a name, which is gone when it is closed."""
        for folder in (self.folder, None):
            with suppress(OSError):
                return tempfile.TemporaryFile(dir=folder)
        return os.fdopen(os.memfd_create("narration"), "w+b")

    def make_room(self, count: int) -> None:
        """Remove the oldest that nobody uses until so many bytes are free that were not.

        Who is interrupted starts anew then, which is better than that nobody can start.
        """
        for _, _, size, path in sorted(self._idle()):
            if count <= 0:
                return
            _evict(path, size)
            count -= size

    def _tidy(self) -> None:
        """Remove what is forgotten, and the oldest while there is too much, if nobody uses it."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        idle = sorted(self._idle())
        total = sum(size for _, _, size, _ in idle)
        for unfinished, touched, size, path in idle:
            longest = FORGOTTEN_SECONDS if unfinished else 86_400 * self._days
            if total > self._most or time.time() - touched >= longest:
                _evict(path, size)
                total -= size

    def _idle(self) -> Iterator[tuple[bool, float, int, Path]]:
        """What nobody uses: whether it is unfinished, when it was touched, its bytes, its place."""
        for path in () if self.folder is None else self.folder.iterdir():
            if path.suffix not in (_SUFFIX, _PUBLISHED):
                continue
            with suppress(OSError), _unused(path) as unused:
                if unused:
                    found = path.stat()
                    yield path.suffix == _SUFFIX, found.st_mtime, found.st_size, path


class SegmentFile:
    """The segments of one narration that are spoken. For one thread at a time.

    Args:
        descriptor: an open file, which it owns from here on.
        texts: of all segments.
    """

    def __init__(self, descriptor: int, texts: Sequence[str]) -> None:
        self._file = descriptor
        self._keys = [_key(index, text) for index, text in enumerate(texts)]
        self._places: dict[int, tuple[int, int]] = {}
        self._notes: dict[int, dict[str, Any]] = {}
        self._end = self._read_records()
        os.ftruncate(self._file, self._end)

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, index: object) -> bool:
        return index in self._places

    @property
    def indices(self) -> frozenset[int]:
        """Places of the segments that are there."""
        return frozenset(self._places)

    def add(self, index: int, samples: NDArray[np.float32], note: dict[str, Any]) -> None:
        """Keep a segment, in place of what is kept of it.

        Args:
            index: its place.
            samples: ``[n]``, kept bit for bit.
            note: JSON values to keep with it.

        Raises:
            OSError: the disk is full or fails.
        """
        self._places[index] = self._append(index, samples, note), len(samples)

    def amend(self, index: int, note: dict[str, Any]) -> None:
        """Keep another note with a segment.

        Raises:
            KeyError: it is not there.
            OSError: the disk is full or fails.
        """
        if index not in self._places:
            raise KeyError(index)
        self._append(index, np.zeros(0, np.float32), note)

    def _append(self, index: int, samples: NDArray[np.float32], note: dict[str, Any]) -> int:
        """Write a record; where its sound begins."""
        written = json.dumps(note, separators=(",", ":")).encode()
        sound = np.ascontiguousarray(samples, dtype="<f4").view(np.uint8).data
        checksum = zlib.crc32(sound, zlib.crc32(written, zlib.crc32(self._keys[index])))
        header = _HEADER.pack(
            _MAGIC, index, self._keys[index], len(written), len(samples), checksum
        )
        position = self._end
        for part in (header, written, sound):
            position = _write(self._file, part, position)
        self._notes[index] = note
        self._end = position
        return position - len(sound)

    def samples(self, index: int) -> NDArray[np.float32]:
        """A segment's samples, ``[n]``.

        Raises:
            KeyError: it is not there.
            OSError: it cannot be read.
        """
        position, count = self._places[index]
        sound = np.empty(count, dtype="<f4")
        if _read_into(self._file, sound.view(np.uint8).data, position) < 4 * count:
            raise OSError("the file of finished segments was cut short by someone else")
        return sound.astype(np.float32, copy=False)

    def seconds(self, index: int) -> float:
        """How long a segment is.

        Raises:
            KeyError: it is not there.
        """
        return self._places[index][1] / SAMPLE_RATE

    def note(self, index: int) -> dict[str, Any]:
        """What was kept with a segment.

        Raises:
            KeyError: it is not there.
        """
        return self._notes[index]

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read_records(self) -> int:
        """Take in the records that are whole; where they end."""
        size = os.fstat(self._file).st_size
        position = 0
        while position + _HEADER.size <= size:
            head = os.pread(self._file, _HEADER.size, position)
            magic, index, key, note_size, count, checksum = _HEADER.unpack(head)
            start = position + _HEADER.size + note_size
            end = start + 4 * count
            if magic != _MAGIC or end > size or checksum != self._checksum(key, position, end):
                _log.warning("kept_segments_damaged", kept=len(self._places))
                break
            if index < len(self._keys) and self._keys[index] == key:
                note = os.pread(self._file, note_size, position + _HEADER.size)
                # A record without sound is another note on what is there.
                if count:
                    self._places[index] = start, count
                self._notes[index] = json.loads(note)
            position = end
        return position

    def _checksum(self, key: bytes, position: int, end: int) -> int:
        checksum = zlib.crc32(key)
        for start in range(position + _HEADER.size, end, _CHUNK):
            part = os.pread(self._file, min(_CHUNK, end - start), start)
            checksum = zlib.crc32(part, checksum)
        return checksum


def _key(index: int, text: str) -> bytes:
    # Not of the text alone: an engine may speak the same words differently in another place.
    spoken = f"{index}\n{text}".encode("utf-8", "surrogatepass")
    return blake2b(spoken, digest_size=16).digest()


def _private_folder(folder: Path) -> Path:
    """The folder, made if need be, this user's and closed to all others.

    Raises:
        OSError: it is not, or it cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} must be a folder that belongs to this user")
    if found.st_mode & 0o077:
        # A volume's folders are opened to its group each time that it is mounted.
        folder.chmod(0o700)
    with tempfile.TemporaryFile(dir=folder):
        return folder


def _open_locked(path: Path) -> int | None:
    """A file that is ours alone; None where another uses it or has put it there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(path, flags, 0o600)
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid() or not _lock(descriptor):
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            os.utime(descriptor)
            return descriptor
        # Removed by another between opening and locking.
        os.close(descriptor)


def _evict(path: Path, size: int) -> None:
    with suppress(OSError), _unused(path) as unused:
        if unused:
            path.unlink(missing_ok=True)
            _log.info("segments_evicted", bytes=size)


@contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Whether nobody uses a file; nobody will as long as this lasts.

    Raises:
        OSError: it is gone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write(descriptor: int, data: bytes | memoryview, position: int) -> int:
    rest = memoryview(data)
    while len(rest):
        written = os.pwrite(descriptor, rest, position)
        rest, position = rest[written:], position + written
    return position


def _read_into(descriptor: int, target: memoryview, position: int) -> int:
    done = 0
    while done < len(target):
        count = os.preadv(descriptor, [target[done:]], position + done)
        if not count:
            break
        done += count
    return done

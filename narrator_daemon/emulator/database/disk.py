"""The database on disk: exports, and a folder that keeps it between runs.

An export is the database's own JSON, priorities included, as the console and the REST API's
``format=export`` give it. In the folder, ``database.json`` is an export. Each commit is appended to
``database.journal`` as one line, so that a write costs its own size; opening and closing fold the
journal into the file. Replaying a journal twice does no harm.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path as FilePath
from typing import IO

from narrator_daemon.emulator.database.tree import Commit, Tree
from narrator_daemon.emulator.database.values import (
    InvalidKeyError,
    Value,
    normalise,
    render,
    to_json,
)
from narrator_daemon.errors import NarratorError

#: Bytes in a file that is imported, as many as the service takes in one write.
MAX_IMPORT_BYTES = 256 * 1024 * 1024


class DamagedDataError(NarratorError, ValueError):
    """A file that holds no database; the text names the file and the place."""


def read_export(file: FilePath, now: int = 0) -> Value:
    """The database in an export.

    Args:
        file: where it is.
        now: epoch ms, for server values: an export has none, what people write may.

    Raises:
        DamagedDataError: the file holds none.
        OSError: it cannot be read.
    """
    try:
        return normalise(json.loads(file.read_bytes(), parse_constant=_refuse_constant), now=now)
    except InvalidKeyError as error:
        raise DamagedDataError(
            f"{file}: not a database export: {error}: {error.key!r:.80}"
        ) from None
    except RecursionError:
        raise DamagedDataError(f"{file}: not a database export: nested too deeply") from None
    except ValueError as error:
        raise DamagedDataError(f"{file}: not a database export: {error}") from None


def import_file(file: FilePath) -> Value:
    """The database in an export from elsewhere.

    Raises:
        DamagedDataError: the file holds none, or cannot be read.
    """
    try:
        size = file.stat().st_size
        if size > MAX_IMPORT_BYTES:
            limit = MAX_IMPORT_BYTES // 1024**2
            raise DamagedDataError(f"{file}: has {size} bytes; {limit} MiB can be imported at most")
        return read_export(file, now=int(time.time() * 1000))
    except OSError as error:
        raise DamagedDataError(f"{file}: cannot be read: {error.strerror}") from None


def write_export(file: FilePath, value: Value) -> None:
    """Write an export, as a whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as out:
        out.write(to_json(render(value, export=True)))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class Journal:
    """Keeps a tree in a folder.

    Args:
        folder: made if it is not there.

    Attributes:
        tree: what the folder held.

    Raises:
        DamagedDataError: a file in it is no database.
    """

    def __init__(self, folder: FilePath) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "database.json"
        self._journal = folder / "database.journal"
        self.tree = self._load()
        self._log: IO[bytes] = self._journal.open("ab")
        self._fold()

    def committed(self, commit: Commit) -> None:
        """Write a commit down."""
        writes = [[list(change.path), render(change.new, export=True)] for change in commit.changes]
        self._log.write(to_json(writes) + b"\n")
        self._log.flush()

    def close(self) -> None:
        """Fold the journal into the file. Safe to call twice."""
        if not self._log.closed:
            self._fold()
            self._log.close()

    def _load(self) -> Tree:
        tree = Tree()
        if self._file.exists():
            tree.root = read_export(self._file)
        if self._journal.exists():
            lines = self._journal.read_bytes().split(b"\n")
            # What follows the last line break is a commit that was cut off; nobody was told of it.
            for number, line in enumerate(lines[:-1], 1):
                try:
                    for path, raw in json.loads(line):
                        tree.write((), [(tuple(path), normalise(raw, now=0))])
                except (ValueError, TypeError, RecursionError) as error:
                    where = f"{self._journal}, line {number}"
                    raise DamagedDataError(f"{where}: not a commit: {error}") from None
        return tree

    def _fold(self) -> None:
        write_export(self._file, self.tree.root)
        self._log.truncate(0)

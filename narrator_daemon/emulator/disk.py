"""The database on disk: one JSON file, and a journal of what has been written since.

``database.json`` is the database's own JSON (an export, priorities included). Each commit
is appended to ``database.journal`` as one line, so that a write costs its own size; opening and
closing fold the journal into the file. Replaying a journal twice does no harm.
"""

from __future__ import annotations

import json
import os
from pathlib import Path as FilePath
from typing import IO

from narrator_daemon.emulator.tree import Commit, Tree
from narrator_daemon.emulator.values import normalise, render, to_json


class DamagedDataError(ValueError):
    """A data folder that cannot be read; the text names the file and the place."""


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
            try:
                tree.root = normalise(json.loads(self._file.read_bytes()), now=0)
            except ValueError as error:
                raise DamagedDataError(f"{self._file}: not a database export: {error}") from None
        if self._journal.exists():
            lines = self._journal.read_bytes().split(b"\n")
            # What follows the last line break is a commit that was cut off; nobody was told of it.
            for number, line in enumerate(lines[:-1], 1):
                try:
                    for path, raw in json.loads(line):
                        tree.write((), [(tuple(path), normalise(raw, now=0))])
                except (ValueError, TypeError) as error:
                    where = f"{self._journal}, line {number}"
                    raise DamagedDataError(f"{where}: not a commit: {error}") from None
        return tree

    def _fold(self) -> None:
        fresh = self._file.with_suffix(".json.new")
        with fresh.open("wb") as out:
            out.write(to_json(render(self.tree.root, export=True)))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self._file)
        self._log.truncate(0)

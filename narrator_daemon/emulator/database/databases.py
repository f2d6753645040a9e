"""Every database of a local Firebase, by name: each of its own, each made when it is first used.

They are under the same rules, those of the default database, until one is given rules of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath

from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.disk import Journal
from narrator_daemon.emulator.database.rules import Rules
from narrator_daemon.emulator.database.tree import Commit, Tree

#: Databases of one local Firebase.
MAX_DATABASES = 10_000

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,98}[a-z0-9])?\Z")
#: What an SDK that is told the project alone, and no URL, adds to the project's name.
_DEFAULT_SUFFIX = "-default-rtdb"


class UnknownDatabaseError(ValueError):
    """A name that no database can have; the text says so."""


def is_name(text: str) -> bool:
    """Whether a database may be called so."""
    return _NAME.match(text) is not None


class Databases:
    """The databases by their names. Belongs to one event loop.

    Args:
        default: the name of the one that is meant where none is named.
        rules: what all of them begin with.
        folder: keeps them between runs, the default one directly and the others each in a folder
            below ``databases``; None forgets them.
        made: called with each database once it is there.

    Raises:
        DamagedDataError: a file in the folder is no database.
    """

    def __init__(
        self,
        default: str,
        rules: Rules,
        folder: FilePath | None,
        made: Callable[[Database], None],
    ) -> None:
        self._default = default
        self._rules = rules
        self._folder = folder
        self._made = made
        self._databases: dict[str, Database] = {}
        self._own_rules: set[str] = set()
        self._journals: list[Journal] = []
        self._make(default, folder)
        if folder is not None and (folder / "databases").is_dir():
            for kept in sorted((folder / "databases").iterdir()):
                if is_name(kept.name):
                    self._make(kept.name, kept)

    def name(self, given: str | None) -> str:
        """The name of the database that a client means.

        Args:
            given: what it gives as ``ns``; None for the default.

        Raises:
            UnknownDatabaseError: no database can be called so.
        """
        if given is None:
            return self._default
        name = given.lower()
        if name in (self._default, self._default + _DEFAULT_SUFFIX):
            return self._default
        if not is_name(name):
            raise UnknownDatabaseError(
                f"No database can be called {given!r:.80}: a name has letters a-z, digits, - and _."
            )
        return name

    def named(self, given: str | None) -> Database:
        """The database of that name, made if it is not there.

        Raises:
            UnknownDatabaseError: no database can be called so, or there are too many.
        """
        name = self.name(given)
        database = self._databases.get(name)
        if database is not None:
            return database
        if len(self._databases) >= MAX_DATABASES:
            raise UnknownDatabaseError(f"There are {MAX_DATABASES} databases, and no more can be.")
        return self._make(name, None if self._folder is None else self._folder / "databases" / name)

    def change_rules(self, given: str | None, rules: Rules) -> None:
        """Give a database rules; the default's hold for all that have none of their own.

        Raises:
            UnknownDatabaseError: no database can be called so.
        """
        name = self.name(given)
        self.named(name)
        if name == self._default:
            self._rules = rules
            for other, database in self._databases.items():
                if other not in self._own_rules:
                    database.change_rules(rules)
            return
        self._own_rules.add(name)
        self._databases[name].change_rules(rules)

    def close(self) -> None:
        """Fold the journals. Safe to call twice."""
        for journal in self._journals:
            journal.close()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._databases))

    def _make(self, name: str, folder: FilePath | None) -> Database:
        journal = None
        # One that nobody has written to leaves nothing on the disk.
        if folder is not None and (name == self._default or folder.exists()):
            journal = self._open(folder)
        database = Database(Tree() if journal is None else journal.tree, self._rules)
        self._databases[name] = database
        if journal is not None:
            database.committed.append(journal.committed)
        elif folder is not None:
            database.committed.append(self._first_commit(database, folder))
        self._made(database)
        return database

    def _open(self, folder: FilePath) -> Journal:
        journal = Journal(folder)
        self._journals.append(journal)
        return journal

    def _first_commit(self, database: Database, folder: FilePath) -> Callable[[Commit], None]:
        """Begins to keep a database when it is first written to."""

        def committed(commit: Commit) -> None:
            journal = self._open(folder)
            journal.tree = database.tree
            journal.committed(commit)
            database.committed[database.committed.index(committed)] = journal.committed

        return committed

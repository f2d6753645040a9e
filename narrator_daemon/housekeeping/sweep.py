"""Removes what nothing points at any more: audio of deleted books, of replaced takes, of crashes.

An object goes only if it is ours by its metadata and its name, is older than an hour, and its book
neither names it nor holds the claim it was made under. No claim can come to name it after that: the
token in its name is gone for good. Any replica may sweep; two that do so at once do no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from narrator_daemon import logs
from narrator_daemon.catalogue import (
    BESIDE,
    CLAIM,
    FILE_PATH,
    LIMITS,
    PATH,
    WORKERS,
    children,
    files_of,
    is_count,
)
from narrator_daemon.claims.claim import Claim
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore, StoredObject
from narrator_daemon.rounds import Round

#: Younger objects are left alone, in seconds.
LEAST_AGE_SECONDS = 3600.0

#: Objects looked at in one sweep, one or two small reads each; the next goes on from there.
MOST_OBJECTS = 2_000

#: Objects that may not be deleted, after which a sweep tries no more of them.
_MOST_REFUSED = 3

#: Seconds in which a sweep ends; the next goes on from there.
_LONGEST_SECONDS = 60.0

#: Milliseconds after which a worker that was not seen, or a requester's limit, is forgotten.
_FORGOTTEN_MS = 24 * 3600 * 1000

_log = logs.get(__name__)


class Sweeper:
    """Sweeps the bucket in rounds.

    Args:
        project: the database.
        store: the bucket.
        least_age_seconds: of an object, for it to be looked at.
        clock: epoch seconds; the bucket's own clock unless another is given.
        on_gone: told of a deleted book whose audio was deleted.
    """

    def __init__(
        self,
        project: Project,
        store: AudioStore,
        least_age_seconds: float = LEAST_AGE_SECONDS,
        clock: Callable[[], float] | None = None,
        on_gone: Callable[[str], object] = lambda _book_id: None,
    ) -> None:
        self._project = project
        self._store = store
        self._least_age = least_age_seconds
        self._clock = clock or project.bucket_clock.now
        self._on_gone = on_gone
        self._after = ""

    def round(self) -> int:
        """Look at the next objects and delete those that are orphans; gives how many.

        Raises:
            Unavailable: database or storage did not answer; the next round looks again.
        """
        deleted = looked_at = 0
        sweep = Round("sweep")
        ends_at = time.monotonic() + _LONGEST_SECONDS
        for stored in self._store.objects(after=self._after, most=MOST_OBJECTS):
            looked_at += 1
            self._after = stored.path
            if self._clock() - stored.created_at >= self._least_age:
                with sweep.item(path=stored.path):
                    deleted += self._delete_orphan(stored)
            if time.monotonic() > ends_at:
                return deleted
            if sweep.refused >= _MOST_REFUSED:
                break
        if looked_at < MOST_OBJECTS:
            self._after = ""
        self._forget(WORKERS, lambda presence: [presence.get("at")], ends_at)
        self._forget(LIMITS, lambda grants: list(grants.values()), ends_at)
        return deleted

    def _delete_orphan(self, stored: StoredObject) -> bool:
        if not self._orphaned(stored):
            return False
        self._store.delete(stored.path, generation=stored.generation)
        _log.info("orphan_deleted", path=stored.path)
        if not self._store.is_probe(stored):
            book_id = unquote(stored.metadata["bookId"])
            if not books.exists(self._project, book_id):
                self._on_gone(book_id)
        return True

    def _orphaned(self, stored: StoredObject) -> bool:
        if self._store.is_probe(stored):
            return True
        if not self._store.is_ours(stored):
            return False
        book_id = unquote(stored.metadata["bookId"])
        token = self._store.token(stored.path, book_id)
        if token is None:
            return False
        if self._named(book_id, stored.path):
            return False
        claim = Claim.from_record(books.read(self._project, book_id, CLAIM))
        if claim is not None and claim.token == token:
            return False
        # Published between the two reads: the claim went because the path came.
        return not self._named(book_id, stored.path)

    def _named(self, book_id: str, path: str) -> bool:
        """Whether a book names an object: as its audio, or beside it."""
        if books.read(self._project, book_id, PATH) == path:
            return True
        if path.endswith(".wav"):
            return False
        for field in BESIDE:
            files = files_of({field: books.read(self._project, book_id, field)}, field)
            if any(file[FILE_PATH] == path for file in files.values()):
                return True
        return False

    def _forget(
        self, node: str, times: Callable[[dict[str, Any]], list[Any]], ends_at: float
    ) -> None:
        """Delete the children of a node whose times (epoch ms) are all longer ago than a day."""
        long_ago = self._clock() * 1000 - _FORGOTTEN_MS
        with database_errors():
            found = children(self._project.node(node).get())
        forgetting = Round("forget")
        for key, child in found.items():
            if time.monotonic() > ends_at:
                return
            stamps = times(child) if isinstance(child, dict) else []
            if not any(is_count(stamp) and stamp >= long_ago for stamp in stamps):
                with forgetting.item(node=node, key=key):
                    old, place = self._project.node(node, key), self._project.node_path(node, key)
                    books.on_node(self._project, place, old.delete)

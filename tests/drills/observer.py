"""Sees every commit in a drill, in order, and holds each against what the contract allows."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3

from narrator_daemon.claims.book import text_hash
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.firebase.subscription import StreamEvent, parse_events

#: What a daemon may make of a book's status; None is no status.
_ALLOWED = {
    ("requested", "processing"),
    ("requested", "ready"),
    ("requested", "failed"),
    ("processing", "requested"),
    ("processing", "ready"),
    ("processing", "failed"),
}


@dataclass
class ClaimSeen:
    """One claim as it was seen in a book.

    Attributes:
        book_id: the book's key.
        token: the claim's.
        owner: the worker that made it.
        attempt: which one it was, from 1.
        began: by the monotonic clock, seconds.
        ended: the same; None while it stands.
        how: how it ended: ``published``, ``failed``, ``given_back``, ``lost`` (another freed the
            book of it) or ``dropped``.
    """

    book_id: str
    token: str
    owner: str
    attempt: int
    began: float
    ended: float | None = None
    how: str = ""


@dataclass
class _Shelf:
    """What an observer remembers of one book beside its record."""

    # What it held since it was last asked for: only these may be read aloud.
    texts: list[object] = field(default_factory=list)
    # Whether an outcome is owed.
    owed: bool = False
    claim: ClaimSeen | None = None
    # How the claims for the present request ended, those since the last other outcome.
    lost: list[ClaimSeen] = field(default_factory=list)


class Observer:
    """Follows the whole database by a stream of its own.

    Frontends write by updates of the root, and nobody else does: that tells their commits apart.

    Args:
        database_host: host and port.
        max_attempts: after which a book may fail because its workers were lost.
        formats: of the files that there must be beside each WAV.

    Attributes:
        violations: what must not be, with a kind before the colon.
        claims: every claim there was.
        outcomes: how many of each kind.
        failed_for: the claims that were lost, by the book that failed for it.
    """

    def __init__(
        self, database_host: str, max_attempts: int, formats: tuple[str, ...] = ("m4a",)
    ) -> None:
        self._formats = formats
        self._url = f"http://{database_host}/.json?ns=demo-books"
        self._max_attempts = max_attempts
        # Never changed in place, so that what was given out stays as it was.
        self._tree: dict[str, Any] = {}
        self._shelves: dict[str, _Shelf] = {}
        self._paths: set[str] = set()
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self.violations: list[str] = []
        self.claims: list[ClaimSeen] = []
        self.outcomes: Counter[str] = Counter()
        self.failed_for: list[tuple[str, list[ClaimSeen]]] = []
        self._response: requests.Response | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._follow, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        assert self._opened.wait(10), "the observer's stream did not open"
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        if self._response is not None:
            self._response.raw.shutdown()
        self._thread.join(10)

    def books(self) -> dict[str, dict[str, Any]]:
        """All books as they are now."""
        with self._lock:
            return self._tree.get("books") or {}

    def leases(self) -> dict[str, Any]:
        """All leases as they are now."""
        with self._lock:
            return self._tree.get("narrationLeases") or {}

    def owed(self) -> list[str]:
        """Books that were asked for and have no outcome yet."""
        with self._lock:
            return sorted(book_id for book_id, shelf in self._shelves.items() if shelf.owed)

    def _follow(self) -> None:
        headers = {"Accept": "text/event-stream", "Authorization": "Bearer owner"}
        with requests.get(self._url, headers=headers, stream=True, timeout=60) as answer:
            self._response = answer
            try:
                for event in parse_events(answer.raw.read_chunked(65_536)):
                    if event.name in ("put", "patch"):
                        with self._lock:
                            self._take(event)
                        self._opened.set()
            except urllib3.exceptions.HTTPError as error:
                if not self._closing:
                    self.violations.append(f"the observer's stream: {error}")

    def _take(self, event: StreamEvent) -> None:
        message = json.loads(event.data)
        at = [key for key in message["path"].split("/") if key]
        data = message["data"]
        if event.name == "put":
            writes = {tuple(at): data}
        else:
            writes = {(*at, *key.split("/")): value for key, value in data.items()}
        by_frontend = event.name == "patch" and not at
        books = {path[1] for path in writes if len(path) > 1 and path[0] == "books"}
        held = self._tree.get("books") or {}
        before = {book_id: held.get(book_id) for book_id in books}
        for path, value in writes.items():
            self._tree = _with(self._tree, path, value)
        for book_id in books:
            after = (self._tree.get("books") or {}).get(book_id)
            if by_frontend:
                fields = {path[2] for path in writes if path[:2] == ("books", book_id) and path[2:]}
                self._frontend_wrote(book_id, after, fields)
            else:
                self._daemon_wrote(book_id, before[book_id], after)

    def _frontend_wrote(self, book_id: str, after: dict[str, Any] | None, fields: set[str]) -> None:
        shelf = self._shelves.setdefault(book_id, _Shelf())
        if after is None:
            shelf.owed = False
            shelf.texts = []
        elif after.get("narrativeAudioStatus") == "requested" and (
            not fields or "narrativeAudioStatus" in fields
        ):
            shelf.owed = True
            shelf.texts = [after.get("narrative")]
            shelf.lost = []
        else:
            shelf.texts.append(after.get("narrative"))
            if not fields or "narrativeAudioStatus" in fields:
                shelf.owed = False
        self._follow_claim(book_id, shelf, after, "dropped")

    def _daemon_wrote(
        self, book_id: str, before: dict[str, Any] | None, after: dict[str, Any] | None
    ) -> None:
        shelf = self._shelves.setdefault(book_id, _Shelf())
        if before is None or after is None:
            if after is not None:
                self._violated("ghost", book_id, before, after)
            elif before is not None:
                self._violated("deleted by a daemon", book_id, before, after)
            return
        old, new = before.get("narrativeAudioStatus"), after.get("narrativeAudioStatus")
        if old != new and (old, new) not in _ALLOWED:
            self._violated("transition", book_id, before, after)
        if before.get("narrative") != after.get("narrative"):
            self._violated("text changed by a daemon", book_id, before, after)
        how = "dropped"
        if before.get("narrativeUpdatedAt") != after.get("narrativeUpdatedAt") or old != new:
            if new == "ready":
                how = "published"
                self._published(book_id, shelf, before, after)
            elif new == "failed":
                how = "failed"
                self._failed(book_id, shelf, before, after)
        self._follow_claim(book_id, shelf, after, how)

    def _published(
        self, book_id: str, shelf: _Shelf, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        self.outcomes["published"] += 1
        self.outcomes["retaken"] += "narrativeAudioRetake" in before
        path = after.get("narrativeAudioPath", "")
        token = (before.get("narrativeAudioClaim") or {}).get("token")
        if path in self._paths or not token or token not in path:
            self._violated("duplicate", book_id, before, after)
        self._paths.add(path)
        if after.get("narrativeAudioTake") != before.get("narrativeAudioTake", 0) + 1:
            self._violated("duplicate take", book_id, before, after)
        wanted = {text_hash(text) for text in shelf.texts if isinstance(text, str)}
        if after.get("narrativeAudioTextHash") not in wanted:
            self._violated("stale", book_id, before, after)
        beside = [file.get("path") for file in after.get("narrativeAudioFiles", {}).values()]
        if beside != [f"{path.removesuffix('.wav')}.{name}" for name in self._formats]:
            self._violated("other files than of its take", book_id, before, after)
        for gone in ("narrativeAudioClaim", "narrativeAudioProgress", "narrativeAudioError"):
            if gone in after:
                self._violated(f"left {gone}", book_id, before, after)
        shelf.owed = False

    def _failed(
        self, book_id: str, shelf: _Shelf, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        self.outcomes["failed"] += 1
        error = after.get("narrativeAudioError") or {}
        code = error.get("code")
        reasons = {
            ErrorCode.NO_TEXT: any(
                isinstance(text, str) and not text.strip() for text in shelf.texts
            ),
            ErrorCode.TEXT_NOT_STRING: any(isinstance(text, int) for text in shelf.texts),
            # Another text, no take before, or its segments went with a disk.
            ErrorCode.SEGMENTS_NOT_KEPT: "narrativeAudioRetake" in before,
            ErrorCode.NO_SUCH_SEGMENT: "narrativeAudioRetake" in before,
            ErrorCode.WORKER_LOST: error.get("attempts") == self._max_attempts,
        }
        if not reasons.get(code, False):
            self._violated("failed for no reason of the plan's", book_id, before, after)
        if code == ErrorCode.WORKER_LOST:
            self.failed_for.append((book_id, list(shelf.lost)))
        shelf.owed = False

    def _follow_claim(
        self, book_id: str, shelf: _Shelf, after: dict[str, Any] | None, how: str
    ) -> None:
        now = time.monotonic()
        found = (after or {}).get("narrativeAudioClaim") or {}
        token = found.get("token")
        old = shelf.claim
        if old is not None and old.token != token:
            if how == "dropped" and found and after is not None:
                waiting = after.get("narrativeAudioStatus") == "requested"
                given_back = waiting and found["attempt"] < old.attempt
                how = "given_back" if given_back else "lost"
            old.ended, old.how = now, how
            if how == "lost":
                shelf.lost.append(old)
            shelf.claim = None
        if token and (old is None or old.token != token):
            shelf.claim = ClaimSeen(book_id, token, found["owner"], found["attempt"], now)
            self.claims.append(shelf.claim)
            if found["attempt"] > self._max_attempts:
                self._violated("too many attempts", book_id, None, after)

    def _violated(self, kind: str, book_id: str, before: object, after: object) -> None:
        self.violations.append(f"{kind}: {book_id}: {json.dumps(before)} → {json.dumps(after)}")


def _with(tree: Mapping[str, Any] | None, path: tuple[str, ...], value: Any) -> Any:
    """The tree with another value at a path; what is empty goes, as in the database."""
    if not path:
        return value if value is not None else {}
    children = dict(tree) if isinstance(tree, Mapping) else {}
    child = _with(children.get(path[0]), path[1:], value) if path[1:] else value
    if child is None or child == {}:
        children.pop(path[0], None)
    else:
        children[path[0]] = child
    return children

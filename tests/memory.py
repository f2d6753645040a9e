"""A project in memory, for tests of what talks to one: a database, a bucket, and their faults.

It holds what the SDKs' references hold and raises what they raise; what it does not know of the
real services (rules, timeouts, lost answers) is for tests against the local Firebase.
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from firebase_admin import db, exceptions

from narrator_daemon.catalogue import children
from narrator_daemon.emulator.database.values import key_order
from narrator_daemon.firebase.object_names import slug
from narrator_daemon.firebase.storage import StoredAudio, StoredObject

#: What the database's clock says, epoch milliseconds.
SERVER_NOW = 1_750_000_000_000


class _Answer:
    """As far as errors are asked for the HTTP answer behind them."""

    def __init__(self, status: int) -> None:
        self.status_code = status


def refusal(status: int, message: str = "no") -> exceptions.FirebaseError:
    """What the SDK raises for an HTTP status."""
    return exceptions.FirebaseError("UNKNOWN", message, http_response=_Answer(status))


class MemoryProject:
    """A ``Project``: its database is ``tree``, and ``calls`` says what was asked of it."""

    books_path = "/books"
    catalogue = "http://127.0.0.1/books"
    bucket_name = "demo"
    storage_emulator = None
    #: As with workload identity: no key to sign with.
    credentials = None
    #: What ``ServiceClock`` is asked for; both services tell the same time.
    wall: Callable[[], float] = staticmethod(lambda: SERVER_NOW / 1000)

    def __init__(self, books: Mapping[str, Any] | None = None) -> None:
        self.tree: dict[str, Any] = {"books": copy.deepcopy(dict(books or {}))}
        self.calls: list[tuple[str, str]] = []
        self._faults: list[tuple[str, Callable[[], Exception | None]]] = []

    @property
    def shelf(self) -> dict[str, Any]:
        """The books."""
        found: dict[str, Any] = self.tree.setdefault("books", {})
        return found

    def fail(self, call: str, error: Exception, times: int = 10**9) -> None:
        """Let calls that match (such as ``set /books/b``, a regular expression) raise an error."""
        left = iter(range(times))
        self._faults.insert(0, (call, lambda: error if next(left, None) is not None else None))

    def at_each(self, call: str, do: Callable[[], object]) -> None:
        """Do something just before each call that matches."""
        self._faults.insert(0, (call, lambda: do() and None))

    def mend(self) -> None:
        """No more faults."""
        self._faults.clear()

    def reference(self, *keys: str) -> Reference:
        return Reference(self, keys)

    @property
    def database_clock(self) -> MemoryProject:
        return self

    bucket_clock = database_clock

    def now(self) -> float:
        return self.wall()

    def now_ms(self) -> int:
        return int(self.wall() * 1000)

    def node(self, *keys: str) -> Reference:
        return self.reference(*keys)

    def node_path(self, *keys: str) -> str:
        return "/" + "/".join(keys)

    def books(self) -> Reference:
        return self.reference("books")

    def book(self, book_id: str, *keys: str) -> Reference:
        return self.reference("books", book_id, *keys)

    def called(self, method: str, place: str) -> None:
        self.calls.append((method, place))
        for pattern, fault in list(self._faults):
            if re.search(pattern, f"{method} {place}") and (error := fault()) is not None:
                raise error

    def count(self, pattern: str) -> int:
        """How often something was asked for."""
        return sum(bool(re.search(pattern, f"{method} {place}")) for method, place in self.calls)


class Reference:
    """A ``firebase_admin.db.Reference``."""

    def __init__(self, project: MemoryProject, keys: tuple[str, ...]) -> None:
        self._project = project
        self._keys = keys
        self._place = "/" + "/".join(keys)

    def _value(self) -> Any:
        node: Any = self._project.tree
        for key in self._keys:
            node = node.get(key) if isinstance(node, dict) else None
        return copy.deepcopy(node)

    def _write(self, value: Any) -> None:
        nodes = [self._project.tree]
        for key in self._keys[:-1]:
            if not isinstance(nodes[-1].get(key), dict):
                nodes[-1][key] = {}
            nodes.append(nodes[-1][key])
        nodes[-1][self._keys[-1]] = _without_nulls(value)
        # A node without children is none.
        for node, key in zip(reversed(nodes), reversed(self._keys), strict=True):
            if node[key] in (None, {}):
                del node[key]

    def get(self, etag: bool = False, shallow: bool = False) -> Any:
        self._project.called("get", self._place)
        value = self._value()
        return (value, json.dumps(value)) if etag else value

    def get_if_changed(self, etag: str) -> tuple[bool, Any, str | None]:
        self._project.called("get", self._place)
        value = self._value()
        now = json.dumps(value)
        return (False, None, None) if now == etag else (True, value, now)

    def set_if_unchanged(self, etag: str, value: Any) -> tuple[bool, Any, str]:
        self._project.called("write", self._place)
        now = self._value()
        tag = "null_etag" if now is None else json.dumps(now)
        if tag != etag:
            return False, now, tag
        self._write(value)
        return True, value, json.dumps(value)

    def set(self, value: Any) -> None:
        self._project.called("set", self._place)
        self._write(value)

    def update(self, values: Mapping[str, Any]) -> None:
        self._project.called("update", self._place)
        # All of it is taken, or none.
        for path in values:
            self._project.called("take", f"{self._place}/{path}")
        for path, value in values.items():
            Reference(self._project, (*self._keys, *path.split("/")))._write(value)

    def delete(self) -> None:
        self._project.called("delete", self._place)
        self._write(None)

    def transaction(self, update: Callable[[Any], Any]) -> Any:
        for _ in range(25):
            self._project.called("read", self._place)
            read = self._value()
            value = update(copy.deepcopy(read))
            self._project.called("write", self._place)
            if self._value() == read:
                self._write(value)
                return value
        raise db.TransactionAbortedError("Transaction aborted after failed retries.")

    def order_by_key(self) -> KeyQuery:
        return KeyQuery(self._project, self._place, children(self._value()))

    def order_by_child(self, child: str) -> Query:
        return Query(self._project, self._place, children(self._value()), child)


class Query:
    """A query by one child, as far as the daemon asks."""

    def __init__(
        self, project: MemoryProject, place: str, found: dict[str, Any], child: str
    ) -> None:
        self._project = project
        self._place = f"{place} by {child}"
        self._child = child
        self._found = found

    def _keep(self, condition: Callable[[Any], bool]) -> Query:
        self._found = {
            key: record
            for key, record in self._found.items()
            if isinstance(record, dict) and condition(record.get(self._child))
        }
        return self

    def equal_to(self, value: Any) -> Query:
        return self._keep(lambda child: bool(child == value))

    def start_at(self, value: float) -> Query:
        # Text sorts after every number.
        return self._keep(
            lambda child: isinstance(child, str) or (isinstance(child, int) and child >= value)
        )

    def end_at(self, value: float) -> Query:
        return self._keep(lambda child: isinstance(child, int) and child <= value)

    def limit_to_first(self, most: int) -> Query:
        self._found = dict(self._sorted()[:most])
        return self

    def limit_to_last(self, most: int) -> Query:
        self._found = dict(self._sorted()[-most:])
        return self

    def _sorted(self) -> list[tuple[str, Any]]:
        return sorted(self._found.items(), key=lambda item: (item[1][self._child], item[0]))

    def get(self) -> dict[str, Any]:
        self._project.called("query", self._place)
        return self._found


class KeyQuery:
    """A query by keys, as far as the daemon asks."""

    def __init__(self, project: MemoryProject, place: str, found: dict[str, Any]) -> None:
        self._project = project
        self._place = f"{place} by key"
        self._found = found

    def start_at(self, key: str) -> KeyQuery:
        first = key_order(key)
        self._found = {
            name: child for name, child in self._found.items() if key_order(name) >= first
        }
        return self

    def limit_to_first(self, most: int) -> KeyQuery:
        names = sorted(self._found, key=key_order)[:most]
        # As JSON has no order, none is to be relied on.
        self._found = {name: self._found[name] for name in reversed(names)}
        return self

    def get(self) -> dict[str, Any]:
        self._project.called("query", self._place)
        return self._found


def _without_nulls(value: Any) -> Any:
    if value == {".sv": "timestamp"}:
        return SERVER_NOW
    if isinstance(value, dict):
        kept = {key: _without_nulls(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child is not None} or None
    return value


class MemoryStore:
    """An ``AudioStore``: its objects by name, and whose they are."""

    signed_seconds = 7 * 86_400.0

    def __init__(self, now: Callable[[], float] = lambda: SERVER_NOW / 1000) -> None:
        self.objects_by_path: dict[str, bytes] = {}
        self.owners: dict[str, str] = {}
        self.created_at: dict[str, float] = {}
        self.content_types: dict[str, str] = {}
        self.fault: Exception | None = None
        self.uploaded_bytes = self.upload_retries = 0
        self.on_upload: Callable[[], object] = lambda: None
        self.cannot_delete: str | None = None
        self._now = now

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault

    def path(self, book_id: str, token: str) -> str:
        return f"narrations/{slug(book_id)}/{token}.wav"

    def upload(
        self,
        path: str,
        file: io.BytesIO,
        size: int,
        *,
        book_id: str,
        content_type: str = "audio/wav",
        on_read: Callable[[], None] = lambda: None,
    ) -> StoredAudio:
        self._answer()
        on_read()
        contents = file.read()
        assert len(contents) == size
        self.objects_by_path[path] = contents
        self.owners[path] = book_id
        self.created_at[path] = self._now()
        self.content_types[path] = content_type
        self.on_upload()
        return StoredAudio(path, f"https://storage.example/{path}", 123, size)

    def delete(self, path: str, generation: int | None = None) -> None:
        self._answer()
        self.objects_by_path.pop(path, None)

    def exists(self, path: str) -> bool:
        self._answer()
        return path in self.objects_by_path

    def belongs_to(self, path: str, book_id: str) -> bool:
        return self.exists(path) and self.owners[path] == book_id

    def is_probe(self, stored: StoredObject) -> bool:
        return stored.path.startswith("narrations/probe-")

    def is_ours(self, stored: StoredObject) -> bool:
        return stored.metadata.get("watermarked") == "true"

    def token(self, path: str, book_id: str) -> str | None:
        match = re.fullmatch(
            rf"narrations/{re.escape(slug(book_id))}/([0-9a-f]{{32}})(?:\.[a-z0-9]+){{1,2}}", path
        )
        return match[1] if match else None

    def sign(self, path: str) -> tuple[str, int]:
        self._answer()
        expires_at = int((self._now() + self.signed_seconds) * 1000)
        return f"https://storage.example/{path}?expires={expires_at}", expires_at

    def objects(self, *, after: str = "", most: int) -> Iterator[StoredObject]:
        self._answer()
        for path in sorted(name for name in self.objects_by_path if name > after)[:most]:
            metadata = {"bookId": self.owners[path], "watermarked": "true"}
            yield StoredObject(path, 1, self.created_at[path], metadata)

    def check(self) -> None:
        self._answer()

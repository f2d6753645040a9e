from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from narrator_daemon.emulator import LocalFirebase

OPEN_RULES = {
    "rules": {
        ".read": True,
        ".write": True,
        "books": {".indexOn": ["narrativeAudioStatus", "narrativeAudioUrlExpiresAt", "meta/rank"]},
        "scores": {".indexOn": ".value"},
    }
}
OWNER = {"Authorization": "Bearer owner"}
WAIT = 60.0


class Rest:
    """Requests against one database."""

    def __init__(self, host: str) -> None:
        self.base = f"http://{host}"
        self._session = requests.Session()

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        **params: str,
    ) -> requests.Response:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        return self._session.request(
            method,
            f"{self.base}{path}.json",
            data=data,
            params=params,
            headers=headers,
            timeout=WAIT,
            allow_redirects=False,
        )

    def get(self, path: str, **params: str) -> Any:
        return self("GET", path, **params).json()

    def put(self, path: str, body: object) -> None:
        self("PUT", path, raw=json.dumps(body).encode(), headers=OWNER).raise_for_status()


class Listener:
    """One event stream, read in a thread."""

    def __init__(
        self, base: str, path: str, headers: dict[str, str] | None = None, **params: str
    ) -> None:
        self.response = requests.get(
            f"{base}{path}.json",
            params=params,
            headers={"Accept": "text/event-stream", **(headers or {})},
            stream=True,
            timeout=WAIT,
        )
        self._events: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        name = ""
        try:
            for line in self.response.iter_lines(chunk_size=None):
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: "):
                    self._events.put((name, json.loads(line[6:])))
        except (requests.RequestException, AttributeError):
            pass
        self._events.put(None)

    def next(self, wait: float = WAIT) -> tuple[str, Any] | None:
        """The next event; None at the end of the stream."""
        return self._events.get(timeout=wait)

    def quiet(self, wait: float) -> bool:
        try:
            self._events.get(timeout=wait)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        # A stream that has ended has nothing to shut down.
        with contextlib.suppress(RuntimeError, ValueError):
            self.response.raw.shutdown()
        self._thread.join(WAIT)
        self.response.close()


@pytest.fixture(scope="session")
def shared_firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase(storage=False, rules=OPEN_RULES, keep_alive_seconds=30) as firebase:
        yield firebase


@pytest.fixture
def firebase(shared_firebase: LocalFirebase) -> LocalFirebase:
    """An empty database with open rules and no faults."""
    shared_firebase.faults.clear()
    rest = Rest(shared_firebase.endpoints["database_host"])
    rest("PUT", "/.settings/rules", OPEN_RULES, headers=OWNER).raise_for_status()
    shared_firebase.load("/", None)
    return shared_firebase


@pytest.fixture
def rest(firebase: LocalFirebase) -> Rest:
    return Rest(firebase.endpoints["database_host"])


@pytest.fixture
def listen(rest: Rest) -> Iterator[Callable[..., Listener]]:
    listeners: list[Listener] = []

    def start(path: str, headers: dict[str, str] | None = None, **params: str) -> Listener:
        listeners.append(Listener(rest.base, path, headers, **params))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()

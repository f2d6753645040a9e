"""What grows with the catalogue: bytes of a round of renewal, signatures of a fleet, the stream.

    python -m benchmarks.growing_costs --json growing.json

Renewal: so many books with texts of 8,400 characters whose audio is gone, so that none can be
renewed, and whose URLs end one after the other, or all at the same moment; bytes that the database
sends in a first round and in a second. Fleet: four replicas that
meet a hundred due URLs at once; signatures and requests. Stream: CPU seconds that the reader takes
for one event of so many megabytes, in chunks of 64 KiB.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import firebase_admin
from firebase_admin import db

from narrator_daemon import config, logs
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import parse_events, read_hint
from narrator_daemon.housekeeping.renewal import Renewer

_TEXT = "A sentence of a book, read aloud to its end. " * 187
_REPLICAS, _DUE = 4, 100


def _book(path: str, end: int = 1_000) -> dict[str, Any]:
    return {
        "narrative": _TEXT,
        "narrativeAudioPath": path,
        "narrativeAudioUrl": "https://example.com/",
        "narrativeAudioUrlExpiresAt": end,
    }


def renewal(
    firebase: LocalFirebase, project: Project, count: int, *, together: bool
) -> dict[str, object]:
    """Two rounds over books that cannot be renewed."""
    store = AudioStore(project, config.load(None).storage)
    ends = [1_000 if together else 1_000 + number for number in range(count)]
    books = {f"b{n:05}": _book(f"narrations/gone-{n}.wav", end) for n, end in enumerate(ends)}
    firebase.load("/books", books)
    renewer = Renewer(project, store)
    row: dict[str, object] = {"books": count, "end": "together" if together else "in turn"}
    for name in ("first", "second"):
        firebase.traffic.reset()
        began = time.process_time()
        renewer.round()
        sent = firebase.traffic.total("bytes_sent", kind="query")
        row |= {f"{name}_mb": round(sent / 1e6, 2)}
        row |= {f"{name}_cpu_seconds": round(time.process_time() - began, 2)}
    return row


def fleet(firebase: LocalFirebase, project: Project) -> dict[str, object]:
    """Four replicas begin at once."""
    store = AudioStore(project, config.load(None).storage)
    books = {}
    for number in range(_DUE):
        book_id = f"b{number:05}"
        path = store.path(book_id, f"{number:032x}")
        store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=book_id)
        books[book_id] = _book(path)
    firebase.load("/books", books)
    firebase.traffic.reset()
    signed = []
    threads = []
    for number in range(_REPLICAS):
        own = AudioStore(project, config.load(None).storage)
        sign = own.sign

        def counted(path: str, sign: Any = sign) -> Any:
            signed.append(path)
            return sign(path)

        own.sign = counted  # type: ignore[method-assign]
        renewer = Renewer(project, own, owner=f"w{number}")
        threads.append(threading.Thread(target=renewer.step))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    requests = sum(int(row["requests"]) for row in firebase.traffic.rows())
    return {"replicas": _REPLICAS, "due": _DUE, "signatures": len(signed), "requests": requests}


def stream(megabytes: int) -> dict[str, object]:
    """One event, read and understood."""
    data = b'event: put\ndata: {"path":"/","data":{"b":{"narrative":"' + b"x" * (megabytes << 20)
    body = data + b'"}}}\n\n'
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    began = time.process_time()
    (event,) = parse_events(chunks)
    parsed = time.process_time()
    assert read_hint(event) is not None
    return {
        "event_mb": megabytes,
        "split_cpu_seconds": round(parsed - began, 3),
        "understood_cpu_seconds": round(time.process_time() - parsed, 3),
    }


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--books", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 30, 60])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logs.configure("warning", "auto")
    rows: list[dict[str, object]] = []

    def add(row: dict[str, object]) -> None:
        rows.append(row)
        print(json.dumps(row), flush=True)

    for size in asked.megabytes:
        add(stream(size))
    with LocalFirebase() as firebase:
        os.environ.update(firebase.environment())
        app = firebase_admin.initialize_app(
            options={"databaseURL": firebase.endpoints["database_url"]}, name="bench"
        )
        with Project(config.load(None)) as project:
            for together in (False, True):
                for count in asked.books:
                    add(renewal(firebase, project, count, together=together))
            db.reference("/books", app=app).delete()
            add(fleet(firebase, project))
        firebase_admin.delete_app(app)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

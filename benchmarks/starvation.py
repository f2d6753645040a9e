"""Seconds until a request that was made first, and whose id sorts last, is read behind many others.

    python benchmarks/starvation.py --waiting 150 1000 2500

Against the local Firebase with the tone engine. All others are one requester's, who is at the
limit; the one is another's, made an hour before. Also says what the queries brought, a minute.

    python benchmarks/starvation.py --waiting --at-once 20000 --steady 120

With no limit: so many asked for at once, and so many waiting at any time; how far from oldest first
they are read.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import firebase_admin
from firebase_admin import db

from narrator_daemon import config, logs
from narrator_daemon.daemon import assembly
from narrator_daemon.daemon.worker import Worker
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.speech.tone import ToneSpeech

_TEXT = "A text of a few words, to be read aloud. " * 20


@contextmanager
def _running(limit: int) -> Iterator[tuple[LocalFirebase, Any, Any]]:
    """A local Firebase, its root, and what starts a daemon on it."""
    with LocalFirebase() as firebase, tempfile.TemporaryDirectory() as folder, ExitStack() as open_:
        environment = {
            **firebase.environment(),
            "NARRATOR_SPEECH__ENGINE": "tone",
            "NARRATOR_DAEMON__STATE_DIR": f"{folder}/state",
            "NARRATOR_KEPT__FOLDER": f"{folder}/kept",
            "NARRATOR_WATERMARK__SELF_CHECK": "false",
            "NARRATOR_LIMITS__REQUESTS_PER_MINUTE": str(limit),
        }
        os.environ.update(firebase.environment())
        app = firebase_admin.initialize_app(
            options={"databaseURL": firebase.endpoints["database_url"]}, name=folder
        )
        open_.callback(firebase_admin.delete_app, app)
        settings = config.load(None, environment)

        def start() -> None:
            project = open_.enter_context(Project(settings))
            parts = assembly.parts(settings, ToneSpeech(), [project])
            worker = Worker(settings, parts, ServiceManager({}))
            thread = threading.Thread(target=worker.work, daemon=True)
            thread.start()
            open_.callback(thread.join)
            open_.callback(worker.stop)

        yield firebase, db.reference("/", app=app), start


def _book(requested_at: int, uid: str | None = None) -> dict[str, Any]:
    by = {} if uid is None else {"narrativeAudioRequestedBy": uid}
    return {
        "narrative": _TEXT,
        "narrativeAudioStatus": "requested",
        "narrativeAudioRequestedAt": requested_at,
        **by,
    }


def _claims(root: Any) -> list[str]:
    """The books that were claimed, in that order, by the history of each."""
    jobs = root.child("narrationJobs").get() or {}
    first = {
        book_id: min(entry["claimedAt"] for entry in entries.values())
        for book_id, entries in jobs.items()
    }
    return sorted(first, key=lambda book_id: first[book_id])


def burst(count: int, seconds: float) -> dict[str, object]:
    """So many are asked for at once, no limit: how far from oldest first they are read."""
    with _running(limit=0) as (firebase, root, start):
        dice = random.Random(1)
        now = int(time.time() * 1000)
        places = list(range(count))
        dice.shuffle(places)
        asked = {f"b{number:05}": now - count + place for number, place in enumerate(places)}
        firebase.load("/books", {book_id: _book(at) for book_id, at in asked.items()})
        start()
        time.sleep(seconds)
        sent = firebase.traffic.total("bytes_sent", kind="query") / 1e6
        claimed = _claims(root)
    rank = {book_id: place for place, book_id in enumerate(sorted(asked, key=lambda b: asked[b]))}
    read = len(claimed)
    out = [book_id for book_id in claimed if rank[book_id] >= read]
    last_out = max((claimed.index(book_id) for book_id in out), default=-1)
    return {
        "asked_at_once": count,
        "read": read,
        "of_these_among_as_many_oldest": read - len(out),
        "all_in_order_after": last_out + 1,
        "mb_of_queries_a_minute": round(sent / (seconds / 60), 1),
    }


def steady(waiting: int, seconds: float) -> dict[str, object]:
    """So many wait at any time, no limit: how many older ones are passed over."""
    with _running(limit=0) as (firebase, root, start):
        dice = random.Random(2)
        asked: dict[str, int] = {}
        newest = [0]

        def ask(many: int, prefix: str = "") -> None:
            made = {}
            for _ in range(many):
                book_id = prefix or f"{dice.randrange(10**9):09}"
                # One after the other, however many are asked for in a millisecond.
                newest[0] = asked[book_id] = max(newest[0] + 1, int(time.time() * 1000))
                made[f"books/{book_id}"] = _book(asked[book_id])
            if made:
                root.update(made)

        ask(1, prefix="zz")
        ask(waiting)
        start()
        began = time.monotonic()
        done: float | None = None
        while time.monotonic() - began < seconds:
            now_waiting = root.child("books").order_by_child("narrativeAudioStatus")
            left = len(now_waiting.equal_to("requested").get() or {})
            ask(max(0, waiting - left))
            status = root.child("books/zz/narrativeAudioStatus").get()
            if done is None and status != "requested":
                done = round(time.monotonic() - began, 1)
            time.sleep(0.2)
        sent = firebase.traffic.total("bytes_sent", kind="query") / 1e6
        claimed = _claims(root)
    place = {book_id: number for number, book_id in enumerate(claimed)}
    # Read before it, though they were asked for later.
    passed_by = [
        sum(
            1
            for other in claimed[: place.get(book_id, len(claimed))]
            if asked[other] > asked[book_id]
        )
        for book_id in asked
    ]
    return {
        "waiting_at_any_time": waiting,
        "asked": len(asked),
        "read": len(claimed),
        "first_asked_with_last_id_begun_after_seconds": done,
        "later_ones_read_before_it": passed_by[list(asked).index("zz")],
        "passed_by_median": sorted(passed_by)[len(passed_by) // 2],
        "passed_by_most": max(passed_by),
        "mb_of_queries_a_minute_with_ours": round(sent / (seconds / 60), 1),
    }


def measure(count: int, limit_seconds: float, *, while_running: bool) -> dict[str, object]:
    """One daemon behind ``count`` waiting books of a requester at the limit."""
    with _running(limit=1) as (firebase, root, start):
        now = int(time.time() * 1000)
        one = _book(now - 3_600_000, "patient")
        others = {f"a{number:05}": _book(now + number, "eager") for number in range(count)}
        root.child("books").set(others if while_running else {**others, "zz": one})
        start()
        started = time.monotonic()
        if while_running:
            time.sleep(15)
            root.child("books/zz").set(one)
            started = time.monotonic()
        seconds = None
        while time.monotonic() - started < limit_seconds:
            if root.child("books/zz/narrativeAudioStatus").get() == "ready":
                seconds = round(time.monotonic() - started, 1)
                break
            time.sleep(0.1)
        time.sleep(20)
        minutes = (time.monotonic() - started) / 60
        sent = firebase.traffic.total("bytes_sent", kind="query") / 1e6
        return {
            "waiting": count,
            "asked": "while it runs" if while_running else "before it starts",
            "seconds_until_ready": seconds,
            "mb_of_queries_a_minute": round(sent / minutes, 1),
        }


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--waiting", type=int, nargs="*", default=[150, 300, 1000, 2500])
    parser.add_argument("--limit-seconds", type=float, default=120)
    parser.add_argument("--at-once", type=int, nargs="*", default=[])
    parser.add_argument("--steady", type=int, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    logs.configure("warning", "auto")
    rows = []
    for count in asked.at_once:
        rows.append(burst(count, asked.seconds))
        print(json.dumps(rows[-1]), flush=True)
    for count in asked.steady:
        rows.append(steady(count, asked.seconds))
        print(json.dumps(rows[-1]), flush=True)
    for count in asked.waiting:
        for while_running in (False, True):
            rows.append(measure(count, asked.limit_seconds, while_running=while_running))
            print(json.dumps(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

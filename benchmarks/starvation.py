"""Seconds until a request that was made first, and whose id sorts last, is read behind many others.

    python benchmarks/starvation.py --waiting 150 1000 2500

Against the local Firebase with the tone engine. All others are one requester's, who is at the
limit; the one is another's, made an hour before. Also says what the queries brought, a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import firebase_admin
from firebase_admin import db

from narrator_daemon import config
from narrator_daemon.daemon import assembly
from narrator_daemon.daemon.worker import Worker
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.health.notify import ServiceManager
from narrator_daemon.speech.tone import ToneSpeech

_TEXT = "A text of a few words, to be read aloud. " * 20


def measure(count: int, limit_seconds: float, *, while_running: bool) -> dict[str, object]:
    """One daemon behind ``count`` waiting books of a requester at the limit."""
    with LocalFirebase() as firebase, tempfile.TemporaryDirectory() as folder:
        environment = {
            **firebase.environment(),
            "NARRATOR_SPEECH__ENGINE": "tone",
            "NARRATOR_DAEMON__STATE_DIR": f"{folder}/state",
            "NARRATOR_KEPT__FOLDER": f"{folder}/kept",
            "NARRATOR_WATERMARK__SELF_CHECK": "false",
            "NARRATOR_LIMITS__REQUESTS_PER_MINUTE": "1",
        }
        os.environ.update(firebase.environment())
        app = firebase_admin.initialize_app(
            options={"databaseURL": firebase.endpoints["database_url"]}, name=folder
        )
        now = int(time.time() * 1000)
        one = {
            "narrative": _TEXT,
            "narrativeAudioStatus": "requested",
            "narrativeAudioRequestedAt": now - 3_600_000,
            "narrativeAudioRequestedBy": "patient",
        }
        others = {
            f"a{number:05}": {
                **one,
                "narrativeAudioRequestedAt": now + number,
                "narrativeAudioRequestedBy": "eager",
            }
            for number in range(count)
        }
        db.reference("/books", app=app).set(others if while_running else {**others, "zz": one})
        settings = config.load(None, environment)
        project = Project(settings)
        parts = assembly.parts(settings, ToneSpeech(), project)
        worker = Worker(settings, parts, ServiceManager({}))
        thread = threading.Thread(target=worker.work, daemon=True)
        thread.start()
        started = time.monotonic()
        if while_running:
            time.sleep(15)
            db.reference("/books/zz", app=app).set(one)
            started = time.monotonic()
        seconds = None
        while time.monotonic() - started < limit_seconds:
            if db.reference("/books/zz/narrativeAudioStatus", app=app).get() == "ready":
                seconds = round(time.monotonic() - started, 1)
                break
            time.sleep(0.1)
        time.sleep(20)
        minutes = (time.monotonic() - started) / 60
        sent = firebase.traffic.total("bytes_sent", kind="query") / 1e6
        worker.stop()
        thread.join()
        project.close()
        firebase_admin.delete_app(app)
        return {
            "waiting": count,
            "asked": "while it runs" if while_running else "before it starts",
            "seconds_until_ready": seconds,
            "mb_of_queries_a_minute": round(sent / minutes, 1),
        }


def main() -> None:
    """Measure, print, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--waiting", type=int, nargs="+", default=[150, 300, 1000, 2500])
    parser.add_argument("--limit-seconds", type=float, default=120)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for count in asked.waiting:
        for while_running in (False, True):
            rows.append(measure(count, asked.limit_seconds, while_running=while_running))
            print(json.dumps(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

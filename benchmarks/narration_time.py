"""Seconds from request to `ready`, by step, for texts of 500, 2,000 and 5,000 characters.

    python -m benchmarks.narration_time [ENGINE] [RUNS]

One book at a time with an idle daemon; medians of the runs. ENGINE is `piper`, the preview voice,
unless told otherwise. Steps are those that the daemon records in the book's history.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.common import daemon, frontend, status_changes, wait_until
from benchmarks.reporting import median, report
from narrator_daemon.emulator import LocalFirebase

STEPS = ("text", "speech", "mastering", "watermark", "self_check", "upload")


def text_of(characters: int) -> str:
    """That many characters of an example book, ended at a sentence's end or with a full stop."""
    examples = Path(__file__).parent.parent / "examples" / "books.json"
    books = json.loads(examples.read_text(encoding="utf-8"))
    text = " ".join(book["narrative"] for book in books.values()).replace("\n", " ")
    return text[: characters - 1].rstrip() + "."


def main(engine: str, runs: int) -> None:
    """Measure and report."""
    sizes = (500, 2_000, 5_000)
    taken: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with (
        LocalFirebase() as firebase,
        frontend(firebase) as node,
        daemon(firebase, SPEECH__ENGINE=engine),
    ):
        changes = status_changes(firebase)
        for run in range(runs):
            for size in sizes:
                book_id = f"book-{size}-{run}"
                book = node(f"books/{book_id}")
                book.set({"narrative": text_of(size)})
                started = time.monotonic()
                book.update({"narrativeAudioStatus": "requested"})
                ready_at = next(at for at, *change in changes if change == [book_id, "ready"])
                history = node(f"narrationJobs/{book_id}")
                # Written after the book is shown.
                wait_until(lambda history=history: history.get() is not None, 10)
                (entry,) = history.get().values()
                audio = book.get()["narrativeAudioDuration"]
                total = {"total": ready_at - started, "audio": audio}
                taken[size].append({**entry["secondsByStep"], **total})
    rows = [
        {
            "characters": size,
            **{
                name: median([run[name] for run in taken[size]])
                for name in ("total", *STEPS, "audio")
            },
        }
        for size in sizes
    ]
    report(f"narration_time_{engine}", rows)


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "piper", int(sys.argv[2]) if len(sys.argv) > 2 else 3
    )

"""Peak memory and time of `narrate` for texts of growing length, tone engine.

    python -m benchmarks.long_text [WORDS ...]

The text repeats the example books. Each length runs in a process of its own; the first row, of a
single sentence, is what the program takes by itself. Disk is what the working files need at most:
the kept segments and the WAV.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.reporting import report
from narrator_daemon.wav import HEADER_BYTES


def text_of(words: int) -> str:
    """That many words of the example books, in their paragraphs."""
    examples = Path(__file__).parent.parent / "examples" / "books.json"
    books = json.loads(examples.read_text(encoding="utf-8")).values()
    paragraphs = [part for book in books for part in book["narrative"].split("\n\n")]
    taken: list[str] = []
    count = 0
    while count < words:
        paragraph = paragraphs[len(taken) % len(paragraphs)].split()[: words - count]
        taken.append(" ".join(paragraph))
        count += len(paragraph)
    return "\n\n".join(taken)


def run(words: int) -> dict[str, object]:
    """One run, in this process's child."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "text.txt").write_text(text_of(words))
        environment = {
            **os.environ,
            "NARRATOR_SPEECH__ENGINE": "tone",
            "NARRATOR_LIMITS__MAX_CHARACTERS": "100000000",
            "NARRATOR_LIMITS__MAX_WORDS": "10000000",
            "NARRATOR_KEPT__FOLDER": str(folder / "kept"),
        }
        arguments = ["-m", "narrator_daemon", "narrate", "text.txt", "--out", "out.wav"]
        watched = _Disk(folder)
        started = time.monotonic()
        child = os.fork()
        if not child:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, *arguments], environment)  # noqa: S606
        _, status, used = os.wait4(child, 0)
        seconds = time.monotonic() - started
        if status:
            raise RuntimeError(f"narrate ended with status {status}")
        audio = ((folder / "out.wav").stat().st_size - HEADER_BYTES) / 48_000
        return {
            "words": words,
            "audio_hours": audio / 3600,
            "peak_mib": used.ru_maxrss / 1024,
            "seconds": seconds,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "disk_gb": watched.stop() / 1e9,
        }


class _Disk:
    """The most bytes that files of a folder take, looked at ten times a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            total = 0
            for path in self._folder.rglob("*"):
                try:
                    total += path.stat().st_blocks * 512
                except OSError:
                    continue  # gone meanwhile
            self._most = max(self._most, total)

    def stop(self) -> int:
        self._over.set()
        self._thread.join()
        return self._most


if __name__ == "__main__":
    sizes = [int(words) for words in sys.argv[1:]] or [10, 1_000, 10_000, 100_000]
    report("long_text", [run(words) for words in sizes])

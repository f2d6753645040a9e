"""What the voices for the CPU cost: a narration of 1,000 words, and the start of a daemon.

    python -m benchmarks.cpu_voices [--words N] [ENGINE …]

Reads words of the example books by `narrator-daemon narrate`, takes judged without a recogniser,
and starts a daemon beside the local Firebase. Kokoro reads from the folder `.venv/kokoro`, which
`make kokoro` brings. `csm` is a checkpoint of a toy's size with random weights, which is started
and reads nothing: what its libraries cost. CPU is that of all processes; memory is what is
resident, summed over them, at its highest of ten looks a second. Wall time on a machine that does
something else is no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import soundfile

from benchmarks.common import KOKORO, cpu_seconds, daemon_process, process_tree, wait_until
from benchmarks.reporting import report
from narrator_daemon.commands.demo import example_books
from narrator_daemon.emulator import LocalFirebase

ENGINES = ("tone", "piper", "kokoro")
#: What is told of a narration.
NARRATED = ("audio_s", "wall_s", "cpu_s", "cpu_s_an_audio_s", "memory_mib")


def text(count: int) -> str:
    """So many words of the example books."""
    paragraphs, words = [], 0
    for book in example_books().values():
        for paragraph in str(book["narrative"]).split("\n\n"):
            kept = paragraph.split()[: count - words]
            if kept:
                paragraphs.append(" ".join(kept))
                words += len(kept)
    return "\n\n".join(paragraphs)


class Memory:
    """The most that a process and those that it started hold, by looking."""

    def __init__(self, process: int) -> None:
        self.most = self.last = 0
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.last = sum(_resident(one) for one in process_tree(self._process))
            self.most = max(self.most, self.last)


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


def narrate(engine: str, count: int, folder: Path) -> dict[str, float]:
    """Read the text, with what it took."""
    (folder / "text.txt").write_text(text(count))
    command = [sys.executable, "-m", "narrator_daemon", "narrate", "text.txt", "--out", "out.wav"]
    variables = {
        "NARRATOR_SPEECH__ENGINE": engine,
        "NARRATOR_KOKORO__MODEL": KOKORO,
        "NARRATOR_TAKES__RECOGNISE": "false",
        "OMP_NUM_THREADS": "1",
    }
    before, started = os.times(), time.monotonic()
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **variables}, stderr=subprocess.DEVNULL
    )
    memory = Memory(process.pid)
    if process.wait():
        raise RuntimeError(f"narrate failed with {engine}")
    wall, after = time.monotonic() - started, os.times()
    memory.stop()
    cpu = after[2] + after[3] - before[2] - before[3]
    audio = soundfile.info(folder / "out.wav").duration
    return dict(zip(NARRATED, (audio, wall, cpu, cpu / audio, memory.most / 2**20), strict=True))


def start(engine: str) -> dict[str, object]:
    """Start a daemon, until its engine is ready, with what it took."""
    with LocalFirebase() as firebase, tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.monotonic()
        chosen = {
            "SPEECH__ENGINE": engine,
            "KOKORO__MODEL": KOKORO,
            "TAKES__RECOGNISE": "false",
        }
        if engine == "csm":
            from tests.csm import tiny_checkpoint

            chosen["SPEECH__MODEL"] = str(tiny_checkpoint.make(folder / "model"))
            chosen["SPEECH__DEVICE"] = "cpu"
            started = time.monotonic()
        process = daemon_process(firebase, folder, **chosen)
        memory = Memory(process.pid)
        try:
            wait_until(lambda: _ready(folder / "log"), 300)
            seconds, cpu = time.monotonic() - started, cpu_seconds(process.pid)
            time.sleep(1)
        finally:
            memory.stop()
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        return {
            "start_s": seconds,
            "start_cpu_s": cpu,
            "idle_memory_mib": memory.last / 2**20,
        }


def _ready(log: Path) -> bool:
    lines = log.read_text().splitlines() if log.is_file() else []
    return any(json.loads(line)["event"] == "ready" for line in lines if line.startswith("{"))


def main(engines: list[str], count: int) -> None:
    """Measure and report."""
    rows = []
    for engine in engines:
        narrated: dict[str, float | None] = dict.fromkeys(NARRATED)
        if engine != "csm":
            with tempfile.TemporaryDirectory() as name:
                narrated |= narrate(engine, count, Path(name))
        rows.append({"engine": engine, "words": count, **start(engine), **narrated})
    report("cpu_voices", rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("engines", nargs="*", default=ENGINES)
    parser.add_argument("--words", type=int, default=1_000)
    asked = parser.parse_args()
    main(list(asked.engines), asked.words)

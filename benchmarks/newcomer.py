"""What somebody waits for who tries this for the first time: clone, set-up, first narration.

    python -m benchmarks.newcomer [VOICE]

Clones this repository (what is committed) into an empty folder and follows the quickstart there
with empty caches, no variables but PATH and HOME, and none of pip's configuration: `make page`,
which is the set-up of `make demo`, then `make demo VOICE=...` until the first book is ready. The
set-up is made again from downloaded files, without a network: its time beside the download. On a
machine that does something else CPU seconds are figures, of all processes until the first book is
ready; wall seconds are not.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks.common import cpu_seconds
from benchmarks.reporting import report

ROOT = Path(__file__).parent.parent


def run(folder: Path, *command: str, **variables: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command in an environment of its own."""
    before, started = _children(), time.monotonic()
    subprocess.run(
        command,
        cwd=folder / "clone",
        env=_environment(folder, **variables),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - started, _children() - before


def first_ready(folder: Path, voice: str) -> dict[str, object]:
    """Seconds from the demo's start and from the daemon's to the first narration, and its book."""
    started = time.time()
    demo = subprocess.Popen(
        ["make", "--silent", "demo", f"VOICE={voice}"],
        cwd=folder / "clone",
        env=_environment(folder, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    assert demo.stdout is not None
    try:
        for line in demo.stdout:
            book, _, status = line.strip().partition(": ")
            if status == "ready":
                ready, cpu = time.time(), cpu_seconds(demo.pid)
                break
        else:
            raise RuntimeError("the demo ended without a narration")
    finally:
        os.killpg(demo.pid, signal.SIGTERM)
        demo.wait(90)
    lines = (folder / "clone/demo-output/daemon.log").read_text().splitlines()
    begun = next(
        datetime.fromisoformat(entry["timestamp"]).timestamp()
        for entry in map(json.loads, filter(lambda line: line.startswith("{"), lines))
        if entry["event"] == "starting"
    )
    return {
        "first_ready_from_demo_s": ready - started,
        "first_ready_from_daemon_s": ready - begun,
        "first_ready_cpu_s": cpu,
        "first_book": book,
    }


def size(folder: Path) -> int:
    """Bytes that a folder takes on the disk."""
    return sum(512 * file.lstat().st_blocks for file in folder.rglob("*"))


def _environment(folder: Path, **variables: str) -> dict[str, str]:
    return {
        "HOME": str(folder / "home"),
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PIP_CONFIG_FILE": os.devnull,
        **variables,
    }


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(voice: str) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "home").mkdir()
        started = time.monotonic()
        clone = ["git", "clone", "--quiet", str(ROOT), str(folder / "clone")]
        subprocess.run(clone, check=True)
        cloned = time.monotonic() - started
        setup, setup_cpu = run(folder, "make", "--silent", "page")
        on_disk = size(folder / "clone/.venv")
        files = str(folder / "files")
        pip = (".venv/bin/python", "-m", "pip", "download", "--quiet", "--no-deps")
        locked = ("--require-hashes", "--requirement", "requirements-demo.lock")
        run(folder, *pip, "--dest", files, *locked)
        downloaded = size(folder / "files")
        shutil.rmtree(folder / "clone/.venv")
        again, again_cpu = run(
            folder, "make", "--silent", "page", PIP_NO_INDEX="1", PIP_FIND_LINKS=files
        )
        first = first_ready(folder, voice)
    report(
        "newcomer",
        [
            {
                "voice": voice,
                "clone_s": cloned,
                "setup_s": setup,
                "setup_cpu_s": setup_cpu,
                "setup_downloaded_s": again,
                "setup_downloaded_cpu_s": again_cpu,
                "downloaded_mb": downloaded / 1e6,
                "environment_mb": on_disk / 1e6,
                **first,
            }
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "piper")

"""What is forked is a process of its own, on the machine that its environment names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bad_machine import BadMachine
from tests.processes import Forked, needs_fresh_interpreter

TELL = """
import errno, json, os, sys, time
try:
    os.posix_fallocate(os.open("file", os.O_CREAT | os.O_RDWR), 0, 1)
    full = False
except OSError as error:
    full = error.errno == errno.ENOSPC
print(json.dumps([sys.argv[1:], os.environ["OF_A_TEST"], os.getcwd(), time.time(),
                  os.statvfs(".").f_bavail == 0, full]))
sys.exit(7)
"""


def told(folder: Path, environment: dict[str, str]) -> list[object]:
    output = folder / "output"
    output.unlink(missing_ok=True)
    process = Forked(
        ["-c", TELL, "a", "b"],
        env={**os.environ, "OF_A_TEST": "yes", **environment},
        output=output,
        cwd=folder,
    )
    assert process.wait(60) == 7
    found: list[object] = json.loads(output.read_text())
    return found


def test_a_forked_process_is_as_a_fresh_one(tmp_path: Path) -> None:
    *same, clock, nothing_free, full = told(tmp_path, {})
    assert same == [["a", "b"], "yes", str(tmp_path)]
    assert clock == pytest.approx(time.time(), abs=300)
    assert (nothing_free, full) == (False, False)


def test_it_sees_a_bad_machine_as_it_is_now(tmp_path: Path) -> None:
    machine = BadMachine(tmp_path / "machine")
    machine.set_clock(86400)
    machine.fill()
    clock, *disk = told(tmp_path, machine.environment)[3:]
    assert clock == pytest.approx(time.time() + 86400, abs=300)
    assert disk == [True, True]
    machine.set_clock(0)
    machine.empty()
    clock, *disk = told(tmp_path, machine.environment)[3:]
    assert clock == pytest.approx(time.time(), abs=300)
    assert disk == [False, False]


def test_what_python_reads_at_its_start_needs_a_fresh_one() -> None:
    same = {name: value for name, value in os.environ.items() if name != "COVERAGE_RUN"}
    assert not needs_fresh_interpreter({**same, "NARRATOR_SPEECH__ENGINE": "tone"})
    assert needs_fresh_interpreter({**same, "PYTHONPATH": "/elsewhere"})
    assert needs_fresh_interpreter({**same, "LD_PRELOAD": "/nothing.so"})
    assert needs_fresh_interpreter({**same, "COVERAGE_RUN": "true"})


def test_what_is_forked_has_the_libraries_loaded_wherever_the_first_was(tmp_path: Path) -> None:
    code = """
import os, sys
from tests import processes
os.chdir(sys.argv[1])
done = processes.run("-c", "import sys; print(*sys.modules)", env=os.environ, cwd=os.getcwd())
assert "narrator_daemon.daemon.worker" in done.stdout.split(), done
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={name: value for name, value in os.environ.items() if name != "COVERAGE_RUN"},
        cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

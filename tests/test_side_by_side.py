"""Tests in forked processes: none is lost, and what a process says or leaves is told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tests.actors import ROOT, wait_until
from tests.side_by_side import Plan

CONFTEST = """
import pytest
from tests.side_by_side import SideBySide

def pytest_configure(config):
    config.pluginmanager.register(SideBySide(config, 3))

@pytest.fixture(scope="session", autouse=True)
def told(tmp_path_factory):
    with (tmp_path_factory.getbasetemp() / "set-up").open("a") as file:
        file.write("once")
    yield
    (tmp_path_factory.getbasetemp() / "taken-down").touch()
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def start(suite: Path, tests: str, *arguments: str) -> subprocess.Popen[str]:
    (suite / "test_it.py").write_text(tests)
    ours = ["-c", os.devnull, "--rootdir", suite, "-p", "no:cacheprovider", "-ra"]
    files = ["--basetemp", suite / "temp", "--junitxml", suite / "xml"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *ours, *files, *arguments, suite],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=suite,
    )


def run(suite: Path, tests: str, *arguments: str) -> tuple[int, str]:
    process = start(suite, tests, *arguments)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def outcomes(suite: Path) -> Counter[str]:
    cases = ET.parse(suite / "xml").getroot().iter("testcase")  # noqa: S314
    return Counter(case[0].tag if len(case) else "passed" for case in cases)


@given(st.lists(st.integers(1, 400), max_size=30), st.integers(1, 64))
def test_each_test_goes_out_once_and_in_order(modules: list[int], processes: int) -> None:
    of = [number for number, tests in enumerate(modules) for _ in range(tests)]
    plan, taken = Plan(of, processes), []
    while stretch := plan.take():
        assert len(stretch) <= 48
        taken += stretch
    assert taken == list(range(len(of)))


def test_a_stretch_ends_with_a_module_where_one_ends_in_its_second_half() -> None:
    plan = Plan([0] * 30 + [1] * 700, 4)
    assert [len(plan.take()) for _ in range(2)] == [30, 43]


def test_all_run_once_and_what_they_say_is_told(suite: Path) -> None:
    status, said = run(
        suite,
        """
import os, warnings, pytest
@pytest.mark.parametrize("n", range(60))
def test_many(n, tmp_path):
    (tmp_path.parent / f"ran-{n}").touch()
def test_fails():
    print("said before")
    assert {"one": 1} == {"one": 2}
def test_skipped():
    pytest.skip("for a reason")
def test_warns():
    warnings.warn(UserWarning("mind this"))
@pytest.fixture
def bad():
    yield
    raise ValueError("while taken down")
def test_bad_teardown(bad):
    pass
""",
    )
    assert status == 1, said
    # One that passes and is taken down badly counts as both.
    assert re.search(r"1 failed, 62 passed, 1 skipped, 1 warning, 1 error in", said), said
    assert "{'one': 1} == {'one': 2}" in said and "said before" in said
    assert "for a reason" in said and "mind this" in said and "while taken down" in said
    ran = Counter(file.name for file in suite.glob("temp/process-*/ran-*"))
    assert ran == Counter({f"ran-{n}": 1 for n in range(60)})
    ups = [file.read_text() for file in suite.glob("temp/process-*/set-up")]
    assert ups == ["once"] * 3
    begun = {file.parent.name for file in suite.glob("temp/process-*/taken-down")}
    assert begun == {f"process-{n}" for n in range(3)}


def test_of_a_process_that_dies_one_test_fails_and_the_others_run(suite: Path) -> None:
    status, said = run(
        suite,
        """
import os, signal, pytest
@pytest.mark.parametrize("n", range(80))
def test_many(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 40:
        os._exit(0)
""",
    )
    assert status == 1, said
    assert "2 failed, 78 passed" in said, said
    assert "ended with status -9" in said and "ended with status 0" in said


def test_what_breaks_outside_a_test_ends_the_run_and_is_told(suite: Path) -> None:
    with (suite / "conftest.py").open("a") as file:
        file.write("def pytest_runtest_logstart():\n    raise OSError('in a hook')\n")
    status, said = run(suite, "def test_one():\n    pass\n")
    assert status != 0
    assert "in a hook" in said


def test_no_more_are_begun_after_the_first_failure_if_so_asked(suite: Path) -> None:
    status, said = run(
        suite,
        """
import time, pytest
@pytest.mark.parametrize("n", range(400))
def test_many(n):
    assert n != 0
    time.sleep(0.01)
""",
        "-x",
    )
    assert status == 1, said
    assert "stopping after 1 failures" in said
    assert outcomes(suite)["failure"] == 1
    assert outcomes(suite)["passed"] < 399


def test_an_interrupt_takes_down_what_is_set_up(suite: Path) -> None:
    process = start(
        suite,
        """
import pathlib, time, pytest
@pytest.fixture(scope="module", autouse=True)
def up(tmp_path_factory):
    place = tmp_path_factory.getbasetemp()
    (place / "up").touch()
    yield
    (place / "down").touch()
@pytest.mark.parametrize("n", range(300))
def test_many(n):
    time.sleep(0.5)
""",
    )
    wait_until(lambda: len(list(suite.glob("temp/process-*/up"))) == 3, "all to have begun")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "KeyboardInterrupt" in said
    assert len(list(suite.glob("temp/process-*/down"))) == 3

"""Fixtures that several tests share: a local Firebase, a frontend, daemons as real processes."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import structlog

import build_page
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.speech import SpeechEngine
from tests.actors import Daemon, Frontend, Inside
from tests.thoroughness import load_profile

load_profile()


def pytest_configure(config: pytest.Config) -> None:
    """The page that the local Firebase serves is the one of these sources."""
    if not hasattr(config, "workerinput"):
        build_page.build()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than cores: many tests wait for another process or for time to pass."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_finish() -> None:
    """What was imported stays: a full collection of garbage would look through it each time."""
    gc.collect()
    gc.freeze()


# Kernels run without a GPU in Triton's interpreter. Triton looks when it is first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def configured_for_one_test_only() -> Iterator[None]:
    """Logging belongs to the process, and the stream that a test captures ends with the test."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@pytest.fixture
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase(keep_alive_seconds=1.0) as running:
        yield running


@pytest.fixture
def frontend(firebase: LocalFirebase) -> Iterator[Frontend]:
    with Frontend(firebase.endpoints) as running:
        yield running


@pytest.fixture
def start_daemon(firebase: LocalFirebase, tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons against the local Firebase; what still runs at the end is killed."""
    started: list[Daemon] = []

    def start(
        program: Sequence[str] = ("-m", "narrator_daemon"),
        *,
        fresh: bool = False,
        **settings: object,
    ) -> Daemon:
        folder = tmp_path / f"daemon-{len(started)}"
        daemon = Daemon(firebase.environment(), folder, settings, program, fresh=fresh)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        if "COVERAGE_RUN" in os.environ:
            daemon.let_end()
        daemon.kill()


@pytest.fixture
def start_inside(
    firebase: LocalFirebase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Inside]]:
    """Starts daemons in threads of this process; what still runs at the end is stopped."""
    started: list[Inside] = []
    log = structlog.testing.LogCapture()
    structlog.configure(processors=[log])
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)

    def start(
        engine: SpeechEngine | None = None,
        *,
        drain: bool = False,
        file: str = "",
        **settings: object,
    ) -> Inside:
        folder = tmp_path / f"inside-{len(started)}"
        folder.mkdir()
        inside = Inside(
            firebase.environment(),
            folder,
            settings,
            engine,
            log.entries,
            drain=drain,
            file=file,
        )
        started.append(inside)
        return inside

    yield start
    firebase.faults.clear()
    for inside in started:
        inside.end()

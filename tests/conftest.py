"""Fixtures that several tests share: a local Firebase, a frontend, daemons as real processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import structlog

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Daemon, Frontend

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

    def start(program: Sequence[str] = ("-m", "narrator_daemon"), **settings: object) -> Daemon:
        folder = tmp_path / f"daemon-{len(started)}"
        daemon = Daemon(firebase.environment(), folder, settings, program)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        daemon.kill()

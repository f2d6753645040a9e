"""The time by the answers of a service."""

from __future__ import annotations

import os
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.service_clock import ServiceClock

TRUE = 1_750_000_000.0


class Steady:
    """A clock that nobody sets, and a service's at the same moment."""

    def __init__(self) -> None:
        self.now = 5.0

    def service(self) -> float:
        return TRUE + self.now


def answer(clock: ServiceClock, steady: Steady, *, takes: float, at: float) -> None:
    """A request that takes so long; the service writes its time at a share of that."""
    began = steady.service()
    steady.now += takes
    clock.take_in(formatdate(began + at * takes, usegmt=True), takes)


def test_until_there_is_an_answer_it_is_another_s_time() -> None:
    clock = ServiceClock(lambda: 7.0)
    assert not clock.known
    assert (clock.now(), clock.now_ms()) == (7.0, 7_000)


@given(
    answers=st.lists(
        st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 10_000)), min_size=1, max_size=20
    )
)
def test_it_is_right_within_half_a_second_and_half_of_the_shortest_answer(answers: Any) -> None:
    steady = Steady()
    clock = ServiceClock(lambda: 0.0, lambda: steady.now)
    for takes, at, pause in answers:
        answer(clock, steady, takes=takes, at=at)
        steady.now += pause
    shortest = min(takes for takes, _, _ in answers)
    assert abs(clock.now() - steady.service()) <= 0.5 + shortest / 2 + 1e-3


def test_a_service_whose_clock_is_set_is_followed() -> None:
    steady = Steady()
    clock = ServiceClock(lambda: 0.0, lambda: steady.now)
    answer(clock, steady, takes=0.1, at=0.5)
    clock.take_in(formatdate(steady.service() - 3_600, usegmt=True), 0.1)
    assert abs(clock.now() - (steady.service() - 3_600)) <= 1


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 99 Foo 2026", "0", "Mon, 1 Jan 1"])
def test_an_answer_without_a_time_says_nothing(date: str | None) -> None:
    clock = ServiceClock(lambda: 7.0)
    clock.take_in(date, 0.1)
    assert clock.now() == 7.0


@pytest.mark.parametrize("seconds", [-1.0, 31.0, float("nan"), float("inf")])
def test_an_answer_that_took_too_long_says_nothing(seconds: float) -> None:
    clock = ServiceClock(lambda: 7.0)
    clock.take_in(formatdate(TRUE, usegmt=True), seconds)
    assert clock.now() == 7.0


@pytest.mark.parametrize(
    ("status", "age", "believed"), [(200, "0", 1), (412, "0", 1), (502, "0", 0), (200, "90", 0)]
)
def test_what_stands_between_is_not_believed(status: int, age: str, believed: int) -> None:
    clock = ServiceClock(lambda: 7.0)
    headers = {"Date": formatdate(TRUE, usegmt=True), "Age": age}
    elapsed = SimpleNamespace(total_seconds=lambda: 0.1)
    clock.see(SimpleNamespace(status_code=status, headers=headers, elapsed=elapsed))
    assert clock.known == bool(believed)


def test_both_services_tell_it_with_any_answer(
    firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    import time

    right: Callable[[], float] = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 5 * 86_400)
    with Project(config.load(None, dict(os.environ))) as project:
        assert not project.database_clock.known
        books.check_indices(project)
        # The local Firebase runs in this process, and so tells the same wrong time as this machine:
        # what is asked for is that the time is the answer's.
        assert project.database_clock.known and not project.bucket_clock.known
        assert project.bucket_clock.now() == pytest.approx(project.database_clock.now(), abs=0.1)
        project.bucket.exists()
        assert project.bucket_clock.known
        monkeypatch.undo()

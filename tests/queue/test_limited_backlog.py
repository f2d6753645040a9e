"""A long queue of one requester who is at the limit."""

from __future__ import annotations

from collections.abc import Callable

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Frontend, Inside, wait_until

TEXT = "A text of a few words, to be read aloud."


def test_the_limit_is_asked_for_once_and_not_for_every_book(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    for number in range(40):
        frontend.add_requested(f"many-{number:02}", TEXT, uid="eager")
    start_inside(LIMITS__REQUESTS_PER_MINUTE=2, WATERMARK__SELF_CHECK="false").wait_ready()
    frontend.add_requested("one", TEXT, uid="patient")
    frontend.wait_for("one", "ready")
    books = frontend.node("books")
    wait_until(
        lambda: [b["narrativeAudioStatus"] for b in books.get().values()].count("ready") == 3,
        "the first two of the many, and the one",
    )
    asked = firebase.traffic.total("requests", method="GET", place="/narrationLimits/*")
    assert asked <= 5

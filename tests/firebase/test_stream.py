"""The stream of requested books over a real connection, whatever happens to it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import google.auth.exceptions
import pytest
import requests
import structlog

from narrator_daemon import config
from narrator_daemon.emulator import Fault, LocalFirebase
from narrator_daemon.errors import Refused, Unavailable
from narrator_daemon.firebase import subscription as streams
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.subscription import Hint, Subscription
from tests.actors import wait_until


@pytest.fixture(scope="module")
def firebase() -> Iterator[LocalFirebase]:
    with LocalFirebase(keep_alive_seconds=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def project(firebase: LocalFirebase) -> Iterator[Project]:
    with (
        mock.patch.dict(os.environ, firebase.environment()),
        Project(config.load(None)) as project,
    ):
        yield project


def requested(text: str = "A") -> dict[str, Any]:
    return {"narrative": text, "narrativeAudioStatus": "requested"}


class Stream:
    """A subscription, and what came of it."""

    def __init__(self, project: Project) -> None:
        self.hints: list[Hint] = []
        self.on_hint: Callable[[Hint], object] = lambda _hint: None
        self.subscription = Subscription(project, self._take, lambda: 0.0)
        self.log = structlog.testing.LogCapture()

    def _take(self, hint: Hint) -> None:
        self.hints.append(hint)
        self.on_hint(hint)

    def lost(self, event: str = "stream_lost") -> list[str]:
        """Why it was lost, or renewed, each time."""
        return [one["why"] for one in list(self.log.entries) if one["event"] == event]

    def wait_live(self, opened: int = 1) -> None:
        def live() -> bool:
            state = self.subscription.state
            return (state.name, state.opened) == ("live", opened)

        wait_until(live, f"the stream to be live for the {opened}. time")


@pytest.fixture
def stream(project: Project, firebase: LocalFirebase) -> Iterator[Stream]:
    firebase.load("/books", {"a": requested(), "r": {"narrativeAudioStatus": "ready"}})
    made = Stream(project)
    structlog.configure(processors=[made.log])
    yield made
    firebase.faults.clear()
    made.subscription.stop()


def test_it_brings_what_waits_and_then_what_changes(stream: Stream, project: Project) -> None:
    assert stream.subscription.state == streams.StreamState("stopped")
    began = time.monotonic()
    stream.subscription.start()
    stream.wait_live()
    state = stream.subscription.state
    assert state.error is None and state.event_at is not None
    assert began <= state.event_at <= time.monotonic()
    wait_until(lambda: len(stream.hints) == 1, "the first hint")
    assert stream.hints == [Hint({"a": requested()}, resync=True)]
    project.book("b").set(requested("B"))
    wait_until(lambda: len(stream.hints) == 2, "the second")
    assert stream.hints[1] == Hint({"b": requested("B")})
    project.book("a", "narrativeAudioStatus").set("ready")
    wait_until(lambda: len(stream.hints) == 3, "the third")
    assert stream.hints[2].gone == {"a"}
    # Keep-alives are a sign of life, and no hint.
    seen = stream.subscription.state.event_at
    wait_until(lambda: stream.subscription.state.event_at != seen, "a keep-alive")
    assert len(stream.hints) == 3
    assert stream.subscription.state.opened == 1


def test_one_that_is_stopped_is_closed_at_once(stream: Stream) -> None:
    stream.subscription.start()
    stream.wait_live()
    stream.subscription.stop()
    assert stream.subscription.state.name == "stopped"
    assert not any(one.name == "subscription" for one in threading.enumerate())
    assert stream.lost() == []


def test_one_that_is_stopped_does_not_wait_for_the_next_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LocalFirebase(keep_alive_seconds=300) as quiet:
        for name, value in quiet.environment().items():
            monkeypatch.setenv(name, value)
        with Project(config.load(None)) as project:
            made = Stream(project)
            made.subscription.start()
            made.wait_live()
            made.subscription.stop()
            assert made.subscription.state.name == "stopped"
            assert not made.subscription._thread.is_alive()


def test_one_that_was_never_started_can_be_stopped(project: Project) -> None:
    Stream(project).subscription.stop()


def test_its_thread_holds_no_process(stream: Stream) -> None:
    stream.subscription.start()
    (thread,) = [one for one in threading.enumerate() if one.name == "subscription"]
    assert thread.daemon


@pytest.mark.parametrize(
    ("act", "event", "why"),
    [
        ("end_streams", "stream_renewed", "the database closed the stream"),
        ("revoke_streams", "stream_renewed", "the access token expired or was revoked"),
        ("cancel_streams", "stream_lost", "the database cancelled the stream"),
    ],
)
def test_one_that_ends_is_opened_anew(
    stream: Stream, firebase: LocalFirebase, act: str, event: str, why: str
) -> None:
    stream.subscription.start()
    stream.wait_live()
    assert getattr(firebase.faults, act)() == 1
    stream.wait_live(2)
    assert [one.partition(":")[0] for one in stream.lost(event)] == [why]
    assert len(stream.lost("stream_lost") + stream.lost("stream_renewed")) == 1
    wait_until(lambda: len(stream.hints) == 2, "all that waits")
    assert stream.hints[1].resync


def test_one_whose_token_is_about_to_expire_is_renewed(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "RENEWAL_SECONDS", 0.3)
    stream.subscription.start()
    stream.wait_live()
    monkeypatch.setattr(streams, "RENEWAL_SECONDS", 3600.0)
    stream.wait_live(2)
    assert stream.lost("stream_renewed") == ["the access token is about to expire"]
    assert stream.lost() == []


def test_silence_is_the_end_of_it(
    stream: Stream, firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SILENCE_SECONDS", 1.0)
    stream.subscription.start()
    stream.wait_live()
    firebase.faults.add(Fault("silence"))
    wait_until(stream.lost, "the silence to be noticed")
    assert stream.lost()[0] == "no sign of life for 1 s"
    firebase.faults.clear()
    wait_until(lambda: stream.subscription.state.name == "live", "it to be live again")


@pytest.mark.parametrize(("status", "why"), [(401, "answers 401"), (503, "answers 503")])
def test_a_refusal_is_told_and_it_tries_again(
    stream: Stream, firebase: LocalFirebase, status: int, why: str
) -> None:
    number = firebase.faults.add(Fault("status", method="STREAM", status=status, count=2))
    stream.subscription.start()
    stream.wait_live()
    assert firebase.faults.hits(number) == 2
    assert [why in one for one in stream.lost()] == [True, True]
    assert stream.subscription.state.error is None


def test_a_redirect_of_the_service_s_own_keeps_the_credential(
    stream: Stream, firebase: LocalFirebase
) -> None:
    here = firebase.endpoints["database_url"].partition("?")[0].replace("127.0.0.1", "localhost")
    number = firebase.faults.add(Fault("redirect", method="STREAM", to=here, count=1))
    stream.subscription.start()
    stream.wait_live()
    assert firebase.faults.hits(number) == 1 and stream.lost() == []


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ("https://a.firebaseio.com/b", "https://s-usc1.firebaseio.com/b", True),
        ("https://a.firebasedatabase.app/b", "https://b.firebasedatabase.app/b", True),
        ("http://127.0.0.1:1/b", "http://localhost:2/b", True),
        ("https://a.firebaseio.com/b", "https://evil.example/b", False),
        ("https://a.firebaseio.com/b", "https://firebaseio.com.evil.example/b", False),
        ("https://evil.example/b", "https://a.firebaseio.com/b", False),
        ("http://127.0.0.1:1/b", "https://evil.example/b", False),
    ],
)
def test_no_other_address_is_given_the_credential(old: str, new: str, kept: bool) -> None:
    asked = requests.Request("GET", new, headers={"Authorization": "Bearer secret"}).prepare()
    response = requests.Response()
    response.request = requests.Request("GET", old).prepare()
    with streams._Session() as session:
        session.rebuild_auth(asked, response)
    assert ("Authorization" in asked.headers) is kept


def test_a_hint_that_cannot_be_taken_in_does_not_end_the_reader(stream: Stream) -> None:
    def fail_once(_hint: Hint) -> None:
        if len(stream.hints) == 1:
            raise KeyError("a bug")

    stream.on_hint = fail_once
    stream.subscription.start()
    stream.wait_live(2)
    assert stream.lost() == ["internal error: KeyError('a bug')"]


class Broken:
    """A project whose stream cannot be opened, each time for another reason."""

    books_path = "/books"

    def __init__(self, reasons: list[Exception]) -> None:
        self.reasons = reasons
        self.over = threading.Event()

    def stream_request(self) -> Any:
        if len(self.reasons) == 1:
            self.over.set()
        raise self.reasons.pop(0)


def broken(reasons: list[Exception], monkeypatch: pytest.MonkeyPatch) -> tuple[Stream, list[float]]:
    project: Any = Broken([*reasons, Unavailable("database", "the last")])
    made = Stream(project)
    structlog.configure(processors=[made.log])
    made.subscription = Subscription(project, made._take, lambda: 1.0)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if project.over.is_set():
            made.subscription._stopping.set()

    monkeypatch.setattr(made.subscription._stopping, "wait", wait)
    made.subscription.start()
    wait_until(lambda: made.subscription.state.name == "stopped" and pauses, "the last reason")
    made.subscription.stop()
    return made, pauses


def test_whatever_keeps_it_from_opening_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = broken(
        [
            Refused("database", "closed"),
            requests.ConnectionError("reset"),
            OSError("no route"),
            google.auth.exceptions.TransportError("no token"),
            ValueError("a bug"),
        ],
        monkeypatch,
    )
    assert made.lost() == [
        "closed",
        "the database does not answer: reset",
        "the database does not answer: no route",
        "no access token can be fetched: no token",
        "internal error: ValueError('a bug')",
        "the last",
    ]
    assert made.subscription.state.error == "the last"


def test_pauses_double_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    _, pauses = broken([OSError("no route")] * 9, monkeypatch)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


@pytest.mark.parametrize(("lived", "again"), [(11.0, 3), (10.0, 1), (9.0, 1)])
def test_one_that_ends_again_and_again_is_no_address_to_hurry_to(
    monkeypatch: pytest.MonkeyPatch, lived: float, again: int
) -> None:
    """It is opened anew at once, unless it ended so soon the last time, too."""
    project: Any = Broken([])
    made = Stream(project)
    structlog.configure(processors=[made.log])
    now, ends = [100.0], [0]
    monkeypatch.setattr(streams.time, "monotonic", lambda: now[0])

    def follow() -> None:
        ends[0] += 1
        if ends[0] > 3:
            made.subscription._stopping.set()
        made.subscription._take(streams.StreamEvent("keep-alive", "null"))
        now[0] += lived
        raise streams._Ended("over", again=True)

    monkeypatch.setattr(made.subscription, "_follow", follow)
    made.subscription.start()
    made.subscription._thread.join(60)
    assert len(made.lost("stream_renewed")) == again
    assert len(made.lost()) == 3 - again

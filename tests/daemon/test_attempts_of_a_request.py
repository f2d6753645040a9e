"""Attempts and pauses belong to a request: whoever reads it, whatever his settings."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from narrator_daemon.speech import SpeechError, Spoken
from narrator_daemon.speech.tone import ToneSpeech
from tests.actors import Frontend, Inside, wait_until

TEXT = "A text of a few words, to be read aloud."


class Failing(ToneSpeech):
    """Fails on this book, and not on the sentence by which a worker tries itself."""

    def speak(self, segments: Any, **settings: Any) -> Generator[Spoken, None, None]:
        if TEXT in segments:
            raise SpeechError("engine_error", "it does not speak this")
        yield from super().speak(segments, **settings)


def test_two_loudnesses_in_one_fleet_use_up_the_same_attempts(
    frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    workers = [
        start_inside(
            Failing(),
            MASTERING__LOUDNESS_LUFS=loudness,
            CLAIMS__MAX_ATTEMPTS=3,
            CLAIMS__RECONCILE_SECONDS=1,
            DAEMON__WORKER_ID=f"w{-loudness}",
        )
        for loudness in (-16, -23)
    ]
    for worker in workers:
        worker.wait_ready()
    frontend.add_requested("b", TEXT)
    book = frontend.wait_for("b", "failed", 40)
    assert book["narrativeAudioError"]["attempts"] == 3
    history = frontend.wait_for_history("b", 3)
    assert sorted(entry["attempt"] for entry in history) == [1, 2, 3]


def test_cancelled_while_it_waits_for_a_retry_it_starts_anew(
    frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    worker = start_inside(Failing(), CLAIMS__RECONCILE_SECONDS=1)
    worker.wait_ready()
    frontend.add("b", TEXT, narrativeAudioStatus="requested")

    def waits() -> Any:
        claim = (frontend.book("b") or {}).get("narrativeAudioClaim") or {}
        return "token" not in claim and claim.get("attempt", 0) >= 2 and claim

    wait_until(waits, "the second attempt to have failed", 30)
    frontend.cancel("b")
    wait_until(lambda: "narrativeAudioClaim" not in frontend.book("b"), "the claim to go", 10)
    frontend.node("books", "b", "narrativeAudioStatus").set("requested")
    again = wait_until(
        lambda: (frontend.book("b").get("narrativeAudioClaim") or {}).get("attempt"),
        "the book to be claimed anew",
    )
    assert again == 1

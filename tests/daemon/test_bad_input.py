"""Whatever a database can hold: a clear error in the book, or a narration, and no other harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from narrator_daemon.emulator import LocalFirebase
from tests.actors import Daemon, Frontend, Inside

REASONS = {
    "absent": (None, "no_text"),
    "empty": ("", "no_text"),
    "white-space": (" \t\n ", "no_text"),
    "emoji": ("🎉🎊 ☂️ 👩‍👩‍👧", "nothing_speakable"),
    "control-characters": ("\x01\x02\x7f\u200b\u202e", "nothing_speakable"),
    "too-many-characters": ("x" * 9_999 + " y", "text_too_long"),
    "too-many-words": ("word " * 1_001, "too_many_words"),
    "a-number": (17, "text_not_string"),
    "a-boolean": (True, "text_not_string"),
    "a-list": (["one", "two"], "text_not_string"),
    "a-dict": ({"en": "text"}, "text_not_string"),
}

READABLE = {
    "exactly-the-limits": ("abcdefghi " * 1_000)[:10_000],
    "special-tokens": "<|AUDIO|> She said <|end_of_text|> [1] hello <|audio_eos|><placeholder>.",
    "markup": "<script>alert('x')</script> & \"quoted\" %s %d {book} {token} \\ ${HOME} words",
    "x" * 700: "A book with an id as long as ids get.",
    "an id with spaces, commas & more": "A book with an unusual id.",
    "50%25 off? yes, %2e%2e%2f": "A book whose id looks percent encoded.",
    "Ægir ☂ 本": "A book whose id is not of this alphabet.",
    "0": "A book with a number for an id.",
    "1": "And its neighbour, which makes the database answer with a list.",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Frontend]]:
    """One daemon that is given everything at once."""
    with LocalFirebase() as firebase, Frontend(firebase.endpoints) as frontend:
        folder = tmp_path_factory.mktemp("bad-input") / "daemon"
        daemon = Daemon(firebase.environment(), folder, {"WATERMARK__SELF_CHECK": "false"})
        for book_id, (text, _) in REASONS.items():
            frontend.add_requested(book_id, text)
        for book_id, text in READABLE.items():
            frontend.add_requested(book_id, text)
        daemon.wait_ready()
        yield daemon, frontend
        daemon.kill()


@pytest.mark.parametrize("book_id", REASONS)
def test_what_cannot_be_read_fails_with_its_reason(
    served: tuple[Daemon, Frontend], book_id: str
) -> None:
    _, frontend = served
    book = frontend.wait_for(book_id, "failed", seconds=60)
    error = book["narrativeAudioError"]
    assert error["code"] == REASONS[book_id][1]
    assert error["attempts"] == 1
    assert isinstance(error["at"], int)
    assert error["message"].endswith(".")
    assert "Traceback" not in error["message"]
    assert "narrativeAudioClaim" not in book
    assert "narrativeAudioProgress" not in book


@pytest.mark.parametrize("book_id", READABLE, ids=lambda book_id: book_id[:20])
def test_what_can_be_read_is_read_whatever_it_is_called(
    served: tuple[Daemon, Frontend], book_id: str
) -> None:
    _, frontend = served
    book = frontend.wait_for(book_id, "ready", seconds=60)
    name = book["narrativeAudioPath"]
    folder, book_part, file = name.split("/")
    assert folder == "narrations"
    assert 1 <= len(book_part) <= 100
    assert file.endswith(".wav")
    assert unquote(urlsplit(book["narrativeAudioUrl"]).path).endswith(name)
    assert book["title"] == book_id[:20]


def test_messages_say_the_limit_and_what_was_found(served: tuple[Daemon, Frontend]) -> None:
    _, frontend = served

    def message(book_id: str) -> Any:
        return frontend.wait_for(book_id, "failed", 60)["narrativeAudioError"]["message"]

    assert "10,001" in message("too-many-characters")
    assert "10,000" in message("too-many-characters")
    assert "1,001" in message("too-many-words")
    assert "a number" in message("a-number")


def test_the_daemon_is_none_the_worse(served: tuple[Daemon, Frontend]) -> None:
    daemon, frontend = served
    for book_id in READABLE:
        frontend.wait_for(book_id, "ready", seconds=60)
    assert daemon.process.poll() is None
    assert daemon.health()[0] == 0
    assert not [event for event in daemon.events if event["event"].endswith("_failed")]


def test_a_book_that_is_no_record_is_left_alone(
    frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    frontend.node("books", "text").set("just a string")
    frontend.node("books", "list").set(["a", "b"])
    start_inside().wait_ready()
    frontend.add_requested("fine", "A book that is fine.")
    frontend.wait_for("fine", "ready")
    assert frontend.book("text") == "just a string"
    assert frontend.book("list") == ["a", "b"]

"""What a frontend wishes for a request, through the whole daemon."""

from __future__ import annotations

from collections.abc import Callable

from narrator_daemon.clock import now_ms
from tests.actors import Frontend, Inside, wait_until

Start = Callable[..., Inside]
TEXT = "A short tale."


def ask(frontend: Frontend, book_id: str, level: str | None, *, wanted_in: int = 0) -> None:
    wishes = {
        "narrativeAudioPriority": level,
        "narrativeAudioNotBefore": now_ms() + wanted_in if wanted_in else None,
    }
    frontend.add(book_id, TEXT, **wishes)
    frontend.request(book_id)


def test_a_press_is_narrated_first_and_what_was_wished_ends_with_the_request(
    frontend: Frontend, start_inside: Start
) -> None:
    for number in range(2):
        ask(frontend, f"bulk{number}", "bulk")
    ask(frontend, "press", None)
    ask(frontend, "urgent", "now")
    assert start_inside(drain=True, daemon__books_at_once=1).wait(90) == 0
    shelf = frontend.node("books").get()
    order = sorted(shelf, key=lambda name: shelf[name]["narrativeUpdatedAt"])
    assert order == ["urgent", "press", "bulk0", "bulk1"]
    assert not any("narrativeAudioPriority" in book for book in shelf.values())


def test_a_book_is_not_claimed_before_it_is_wanted(frontend: Frontend, start_inside: Start) -> None:
    ask(frontend, "later", None, wanted_in=4_000)
    wanted_at = frontend.book("later")["narrativeAudioNotBefore"]
    start_inside()
    frontend.add_requested("now", TEXT)
    frontend.wait_for("now", "ready")
    done = frontend.wait_for("later", "ready")
    assert "narrativeAudioNotBefore" not in done
    [entry] = frontend.wait_for_history("later")
    assert entry["claimedAt"] >= wanted_at - 1_000  # two clocks


def test_one_put_off_far_is_taken_at_once_when_that_is_withdrawn(
    frontend: Frontend, start_inside: Start
) -> None:
    ask(frontend, "later", None, wanted_in=3_600_000)
    start_inside()
    frontend.add_requested("now", TEXT)
    frontend.wait_for("now", "ready")
    assert frontend.status("later") == "requested"
    frontend.node("books", "later", "narrativeAudioNotBefore").delete()
    wait_until(lambda: frontend.status("later") == "ready", "the book to be read", 30)

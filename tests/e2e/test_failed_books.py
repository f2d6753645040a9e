"""The list of failed books on the demo page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.actors import Daemon, Frontend
from tests.e2e.catalogue import Catalogue

pytestmark = pytest.mark.e2e


class FailedList:
    """The list, opened."""

    def __init__(self, catalogue: Catalogue, *, by_keyboard: bool = False) -> None:
        self.root = catalogue.page.locator("#failures")
        summary = self.root.locator("summary")
        if by_keyboard:
            summary.press("Enter")
        else:
            summary.click()

    @property
    def titles(self) -> Locator:
        return self.root.get_by_role("rowheader")

    def row(self, title: str) -> Locator:
        heading = self.root.page.get_by_role("rowheader", name=title, exact=True)
        return self.root.get_by_role("row").filter(has=heading)

    def button(self, name: str, title: str) -> Locator:
        return self.row(title).get_by_role("button", name=f"{name}: {title}", exact=True)

    @property
    def all_again(self) -> Locator:
        return self.root.locator("[data-do=again]")

    def choose(self, option: str) -> None:
        self.root.get_by_label("Why they failed").select_option(option)


def fail(frontend: Frontend, book_id: str, code: str, message: str, at: int) -> None:
    error = {"code": code, "message": message, "attempts": 5, "at": at}
    frontend.add(
        book_id, "Words.", title=book_id, narrativeAudioStatus="failed", narrativeAudioError=error
    )


def fail_some(frontend: Frontend) -> None:
    frontend.add("Good", "Words.", title="Good")
    fail(frontend, "Old", "out_of_memory", "The memory did not suffice.", 1_000)
    fail(frontend, "Mid", "stuck", "It made no progress.", 2_000)
    fail(frontend, "New", "out_of_memory", "The memory did not suffice.", 3_000)


def test_failed_books_are_listed_and_asked_for_again(
    catalogue: Catalogue, frontend: Frontend
) -> None:
    expect(catalogue.page.locator("#failures")).to_be_hidden()
    fail_some(frontend)
    failed = FailedList(catalogue)
    expect(failed.root.locator("summary")).to_have_text("3 books have failed")
    expect(failed.titles).to_have_text(["New", "Mid", "Old"])
    for told in ("stuck", "It made no progress.", "5 attempts"):
        expect(failed.row("Mid").get_by_text(told)).to_be_visible()
    expect(failed.all_again).to_have_text("Generate 3 again")

    failed.choose("out_of_memory (2)")
    expect(failed.titles).to_have_text(["New", "Old"])
    failed.button("Generate again", "New").click()
    # The filter stays, and so does the way by keyboard.
    expect(failed.titles).to_have_text(["Old"])
    expect(failed.button("Generate again", "Old")).to_be_focused()
    asked = frontend.wait_for("New", "requested")
    assert asked["narrativeAudioRequestedBy"] == "demo-admin"
    assert "narrativeAudioPriority" not in asked

    fail(frontend, "Next", "out_of_memory", "The memory did not suffice.", 4_000)
    expect(failed.all_again).to_have_text("Generate 2 again")
    failed.all_again.click()
    for book_id in ("Next", "Old"):
        assert frontend.wait_for(book_id, "requested")["narrativeAudioPriority"] == "bulk"
    assert frontend.status("Mid") == "failed"
    assert frontend.status("Good") is None
    expect(failed.root.get_by_text("No failed book is like that.")).to_be_visible()
    expect(failed.all_again).to_be_disabled()
    failed.choose("All codes (1)")
    expect(failed.titles).to_have_text(["Mid"])


def test_the_list_shows_what_is_searched_for(catalogue: Catalogue, frontend: Frontend) -> None:
    fail_some(frontend)
    failed = FailedList(catalogue)
    catalogue.page.get_by_role("searchbox").fill("new")
    expect(failed.titles).to_have_text(["New"])
    failed.all_again.click()
    frontend.wait_for("New", "requested")
    assert [frontend.status(book_id) for book_id in ("Old", "Mid")] == ["failed", "failed"]


def test_a_failed_book_is_put_right_from_the_list(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon()
    for book_id in ("Blank", "Empty"):
        frontend.add_requested(book_id, " ")
    failed = FailedList(catalogue)
    expect(failed.titles).to_have_count(2)
    failed.button("Edit", "Blank").click()
    catalogue.fill(Text="Now there is something to read.")
    failed.all_again.click()
    catalogue.card("Blank").wait_for("ready")
    # The other one has failed anew.
    expect(failed.titles).to_have_text(["Empty"])


def test_an_odd_error_is_shown_as_text(catalogue: Catalogue, frontend: Frontend) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    fail(frontend, "evil", evil, evil, 1)
    frontend.add("odd", "Words.", title="odd", narrativeAudioStatus="failed")
    failed = FailedList(catalogue)
    failed.choose(f"{evil} (1)")
    expect(failed.titles).to_have_text(["evil"])
    failed.choose("unknown (1)")
    expect(failed.titles).to_have_text(["odd"])
    assert catalogue.page.title() == "Narrations"
    assert failed.root.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark")])
def test_the_list_is_accessible_and_fits(
    width: int, scheme: str, open_page: Callable[..., Catalogue], axe: str, frontend: Frontend
) -> None:
    fail(frontend, "Donau" + "dampfschifffahrt" * 6, "x" * 60, "Word " * 60, 1_000)
    catalogue = open_page(
        color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 800}
    )
    failed = FailedList(catalogue, by_keyboard=True)
    expect(failed.titles).to_have_count(1)
    assert catalogue.page.evaluate("document.documentElement.scrollWidth") <= width
    box = failed.root.get_by_role("button", name="Generate again").bounding_box()
    assert box is not None
    assert box["width"] > 2 * box["height"]
    catalogue.page.evaluate(axe)
    found = catalogue.page.evaluate("axe.run().then(results => results.violations)")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []

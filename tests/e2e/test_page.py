"""An admin in a real browser, before the demo page, with the real daemon behind it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.actors import Daemon, Frontend, wait_until
from tests.e2e.catalogue import Catalogue

pytestmark = pytest.mark.e2e

#: Long enough for the preview voice to be seen at work: some eight seconds of computing.
STORY = " ".join(
    f"On day {day} the ship sailed on, and nobody on board knew where the wind would take her."
    for day in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)
#: Short leases, so that what a killed daemon left is soon taken up.
QUICK = {"CLAIMS__LEASE_TTL_SECONDS": 2, "CLAIMS__BEAT_SECONDS": 0.4}


def test_press_watch_and_hear(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(SPEECH__ENGINE="piper").wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    card = catalogue.card("Voyage").press("Generate narrative").wait_for("processing")
    seen = wait_until(lambda: card.progress if 0 < card.progress < 1 else None, "progress", 60)
    assert 0 < seen < 1
    expect(card.button("Cancel")).to_be_visible()
    card.wait_for("ready")
    expect(card.player).to_be_visible()
    expect(card.item.get_by_text("Read by a machine")).to_be_visible()
    heard = card.heard()
    assert heard["rms"] > 0.02
    assert heard["seconds"] == pytest.approx(frontend.book("voyage")["narrativeAudioDuration"])
    at = card.play()
    assert wait_until(lambda: card.player.evaluate("audio => audio.currentTime") > at, "time")
    card.player.evaluate("audio => { audio.currentTime = 20 }")
    wait_until(lambda: card.player.evaluate("audio => audio.currentTime") > 20.2, "time to go on")


def test_the_smaller_file_plays_and_is_sought_in(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(FILES__FORMATS="m4a").wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    card = catalogue.card("Voyage").press("Generate narrative").wait_for("ready")
    path = card.url.partition("?")[0]
    if path.endswith(".wav"):
        pytest.skip("this browser plays no AAC")
    assert path.endswith(".m4a")
    duration = frontend.book("voyage")["narrativeAudioDuration"]
    at = card.play()
    assert wait_until(lambda: card.player.evaluate("audio => audio.currentTime") > at, "time")
    assert card.player.evaluate("audio => audio.duration") == pytest.approx(duration, abs=0.1)
    late = duration - 5
    card.player.evaluate("(audio, late) => { audio.currentTime = late }", late)
    wait_until(
        lambda: late + 0.2 < card.player.evaluate("audio => audio.currentTime") < duration,
        "time to go on",
    )


def test_again_gives_another_take(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon()
    frontend.add("emma", "A short text to read aloud.", title="Emma")
    card = catalogue.card("Emma").press("Generate narrative").wait_for("ready")
    first = card.url.partition("?")[0]
    card.press("Generate again")
    wait_until(lambda: first not in card.url, "another file")
    card.wait_for("ready")
    assert frontend.book("emma")["narrativeAudioTake"] == 2
    assert card.play() > 0.5


def test_cancel_in_the_middle(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(SPEECH__ENGINE="piper").wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    card = catalogue.card("Voyage").press("Generate narrative").wait_for("processing")
    card.press("Cancel").wait_for("none")
    frontend.wait_for_no_lease()
    card.wait_for("none")
    expect(card.player).to_be_hidden()
    assert set(frontend.book("voyage")) <= {
        "title",
        "narrative",
        "narrativeAudioRequestedAt",
        "narrativeAudioRequestedBy",
    }


def test_two_tabs_stay_in_step(
    open_page: Callable[..., Catalogue], frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon()
    here, there = open_page(), open_page()
    here.page.get_by_role("button", name="Add a book").click()
    here.fill(Title="Persuasion", Author="Jane Austen", Text="She had been forced into prudence.")
    there.card("Persuasion").press("Generate narrative")
    for tab in (here, there):
        tab.card("Persuasion").wait_for("ready")
    assert here.card("Persuasion").url == there.card("Persuasion").url
    here.card("Persuasion").press("Delete")
    here.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for tab in (here, there):
        expect(tab.card("Persuasion").item).to_have_count(0)
    assert frontend.node("books").get() is None


def test_delete_in_the_middle_leaves_no_ghost(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(SPEECH__ENGINE="piper").wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    catalogue.card("Voyage").press("Generate narrative").wait_for("processing").press("Delete")
    catalogue.page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(catalogue.card("Voyage").item).to_have_count(1)
    catalogue.card("Voyage").press("Delete")
    catalogue.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(catalogue.card("Voyage").item).to_have_count(0)
    frontend.wait_for_no_lease()
    assert frontend.node("books").get() is None
    assert catalogue.titles == []


def test_reload_in_the_middle(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(SPEECH__ENGINE="piper").wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    catalogue.card("Voyage").press("Generate narrative").wait_for("processing")
    catalogue.page.reload()
    card = catalogue.wait_live().card("Voyage").wait_for("processing").wait_for("ready")
    assert card.play() > 0.5


def test_a_killed_daemon_is_made_up_for(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    first = start_daemon(SPEECH__ENGINE="piper", **QUICK).wait_ready()
    frontend.add("voyage", STORY, title="Voyage")
    card = catalogue.card("Voyage").press("Generate narrative").wait_for("processing")
    wait_until(lambda: card.progress > 0, "progress", 60)
    first.kill()
    start_daemon(SPEECH__ENGINE="piper", **QUICK)
    card.wait_for("ready", 90)
    assert card.heard()["rms"] > 0.02
    assert frontend.book("voyage")["narrativeAudioTake"] == 1


def test_a_renewed_url_plays_on(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(STORAGE__URL_LIFETIME_HOURS=8 / 3600)
    frontend.add("emma", STORY, title="Emma")
    card = catalogue.card("Emma").press("Generate narrative").wait_for("ready")
    first = card.url
    at = card.play()
    card.player.evaluate("audio => audio.pause()")
    wait_until(lambda: catalogue.page.request.get(first).status >= 400, "the first URL to expire")
    wait_until(lambda: card.url != first, "the renewed URL")
    assert card.url.partition("?")[0] == first.partition("?")[0]
    assert card.player.evaluate("audio => audio.currentTime") == pytest.approx(at, abs=0.5)
    assert card.play() > at


def test_what_fails_says_why_and_can_be_put_right(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon()
    frontend.add("blank", " ", title="Blank")
    card = catalogue.card("Blank").press("Generate narrative").wait_for("failed")
    message = frontend.book("blank")["narrativeAudioError"]["message"]
    expect(card.item.get_by_text(message)).to_be_visible()
    card.press("Edit")
    catalogue.fill(Text="Now there is something to read.")
    card.press("Generate again").wait_for("ready")
    expect(card.item.get_by_text(message)).to_be_hidden()
    expect(card.facts).not_to_contain_text("changed since")
    card.press("Edit")
    catalogue.fill(Text="And now something else.")
    expect(card.facts).to_contain_text("changed since")


def test_offline_and_back(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon().wait_ready()
    frontend.add("emma", "A short text.", title="Emma")
    card = catalogue.card("Emma").wait_for("none")
    catalogue.page.context.set_offline(True)
    expect(catalogue.page.locator("#connection")).to_have_text("Offline")
    card.press("Generate narrative").wait_for("requested")
    assert frontend.status("emma") is None
    catalogue.page.context.set_offline(False)
    catalogue.wait_live()
    card.wait_for("ready")


def test_all_at_once(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(LIMITS__REQUESTS_PER_MINUTE=0)
    for number in range(8):
        frontend.add(f"book-{number}", f"This is book number {number}.", title=f"Book {number}")
    expect(catalogue.card("Book 7").item).to_be_visible()
    catalogue.page.get_by_role("button", name="Generate all that have none").click()
    for number in range(8):
        catalogue.card(f"Book {number}").wait_for("ready")
    expect(catalogue.page.locator("#summary")).to_have_text("8 books, 8 ready")


def test_when_it_will_be_ready_is_shown_while_it_waits(
    catalogue: Catalogue, frontend: Frontend
) -> None:
    frontend.add("emma", "A short text.", title="Emma", narrativeAudioStatus="requested")
    told = catalogue.card("Emma").wait_for("requested").item.locator('[data-part="ready-by"]')
    expect(told).to_be_hidden()
    now = int(time.time() * 1000)
    tomorrow = now + 36 * 3_600_000
    for at, words in ((now - 5_000, "Probably ready soon"), (tomorrow, "Probably ready on")):
        frontend.node("books", "emma", "narrativeAudioReadyBy").set(at)
        expect(told).to_contain_text(words)
    frontend.cancel("emma")
    expect(told).to_be_hidden()


def test_hostile_books_are_shown_as_text(catalogue: Catalogue, frontend: Frontend) -> None:
    title = "<img src=x onerror=document.title='owned'>"
    frontend.add("evil", "<script>document.title='owned'</script>", title=title)
    frontend.node("books", "odd").set({"title": 7, "narrativeAudioUrl": "javascript:alert(1)"})
    expect(catalogue.card(title).item).to_be_visible()
    expect(catalogue.card("odd").player).to_be_hidden()
    assert catalogue.page.title() == "Narrations"
    assert catalogue.page.locator("#shelf img, #shelf script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(
    scheme: str,
    open_page: Callable[..., Catalogue],
    axe: str,
    frontend: Frontend,
    start_daemon: Callable[..., Daemon],
) -> None:
    start_daemon()
    frontend.add("ready", "Words.", title="Ready")
    frontend.add("blank", " ", title="Blank")
    frontend.add("rest", "Words.", title="Rest")
    # A context of its own, as the page's policy lets no foreign script in.
    catalogue = open_page(color_scheme=scheme, bypass_csp=True)
    catalogue.card("Ready").press("Generate narrative").wait_for("ready")
    catalogue.card("Blank").press("Generate narrative").wait_for("failed")
    catalogue.page.evaluate(axe)
    for dialog in (None, "Edit", "Delete"):
        if dialog:
            catalogue.card("Rest").press(dialog)
        found = catalogue.page.evaluate("axe.run().then(results => results.violations)")
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        if dialog:
            catalogue.page.keyboard.press("Escape")


def test_by_keyboard_alone(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon()
    frontend.add("emma", "A short text.", title="Emma")
    card = catalogue.card("Emma").wait_for("none")
    generate = card.button("Generate narrative")
    for _ in range(8):  # those above the shelf, then the card's first
        catalogue.page.keyboard.press("Tab")
        if generate.evaluate("button => button === document.activeElement"):
            break
    expect(generate).to_be_focused()
    catalogue.page.keyboard.press("Enter")
    card.wait_for("ready")


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_fits_the_width(
    width: int, open_page: Callable[..., Catalogue], frontend: Frontend
) -> None:
    frontend.add("long", "Word " * 200, title="Donau" + "dampfschifffahrt" * 6)
    catalogue = open_page(viewport={"width": width, "height": 800})
    expect(catalogue.page.get_by_role("listitem")).to_have_count(1)
    assert catalogue.page.evaluate("document.documentElement.scrollWidth") <= width

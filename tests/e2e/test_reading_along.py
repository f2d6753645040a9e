"""The text read along in a real browser: the word that is heard is marked, and a press plays it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import requests
from playwright.sync_api import expect

from tests.actors import Daemon, Frontend, wait_until
from tests.e2e.catalogue import Card, Catalogue

pytestmark = pytest.mark.e2e

TEXT = (
    "<h1>Chapter I</h1>\n\nMr. Darcy came on deck in 1815 &amp; looked at the water 😀 for a "
    "while. Nobody spoke to him, until the wind had turned and all the boats were counted, once "
    "more."
)

#: Notes for some seconds of playing which word is marked at which time of the player.
_WATCH = """async (card) => {
  const audio = card.querySelector("audio");
  const seen = [];
  await audio.play();
  const until = performance.now() + 4000;
  while (performance.now() < until && !audio.ended) {
    await new Promise(requestAnimationFrame);
    const span = card.querySelector("[data-word][aria-current]");
    seen.push([audio.currentTime, span ? Number(span.dataset.word) : -1]);
  }
  audio.pause();
  return seen;
}"""

#: Reads a track as the browser does.
_TRACK = """async (url) => {
  const audio = document.createElement("audio");
  audio.crossOrigin = "anonymous";
  const track = document.createElement("track");
  track.src = url;
  track.kind = "captions";
  audio.append(track);
  document.body.append(audio);
  track.track.mode = "hidden";
  await new Promise((resolve, reject) => { track.onload = resolve; track.onerror = reject; });
  const text = (cue) => cue.getCueAsHTML().textContent;
  const cues = [...track.track.cues].map((cue) => [cue.startTime, cue.endTime, text(cue)]);
  audio.remove();
  return cues;
}"""


@pytest.fixture
def card(catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]) -> Card:
    start_daemon(SPEECH__ENGINE="piper", TAKES__RECOGNISE="false").wait_ready()
    frontend.add("voyage", TEXT, title="Voyage")
    return catalogue.card("Voyage").press("Generate narrative").wait_for("ready")


def words_of(frontend: Frontend) -> list[list[float]]:
    url = frontend.book("voyage")["narrativeAudioCaptions"]["json"]["url"]
    document = requests.get(url, timeout=10).json()
    return [word for one in document["segments"] for word in one["words"]]


def test_the_word_that_is_heard_is_marked(card: Card, frontend: Frontend) -> None:
    words = words_of(frontend)
    card.press("Read along")
    expect(card.item.locator("[data-word]")).to_have_count(len(words))
    shown = card.item.locator("[data-word]").all_inner_texts()
    assert shown[:8] == ["Chapter", "I", "Mr", "Darcy", "came", "on", "deck", "in"]
    assert {"1815", "&amp;", "water"} <= set(shown)
    seen = card.item.evaluate(_WATCH)
    assert max(word for _, word in seen) >= 4
    late = []
    for (_, before), (at, word) in itertools.pairwise(seen):
        if word > before:
            late.append(at - words[word][0])
    assert late
    assert sorted(late)[len(late) * 9 // 10] <= 0.1
    assert min(late) >= -0.01


def test_a_press_on_a_word_plays_from_there(card: Card, frontend: Frontend) -> None:
    start = words_of(frontend)[7][0]
    card.press("Read along")
    card.item.locator('[data-word="7"]').click()
    wait_until(lambda: card.player.evaluate("audio => audio.currentTime") > start + 0.1, "time")
    assert card.player.evaluate("audio => audio.currentTime") < start + 4


def test_the_keyboard_chooses_and_plays(card: Card, frontend: Frontend) -> None:
    words = words_of(frontend)
    card.press("Read along")
    box = card.item.get_by_role("group", name="Text of Voyage")
    expect(box).to_be_focused()
    for key in ("End", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        box.press(key)
    expect(card.item.get_by_role("status")).to_have_text("once")
    box.press("Enter")
    start = words[len(words) - 2][0]
    wait_until(lambda: card.player.evaluate("audio => audio.currentTime") >= start, "time")
    card.press("Close the text")
    expect(box).to_be_hidden()


def test_a_passage_is_read_again_and_nothing_else(
    catalogue: Catalogue, frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    start_daemon(TAKES__RECOGNISE="false").wait_ready()
    frontend.add("voyage", "\n\n".join([TEXT] * 3), title="Voyage")
    card = catalogue.card("Voyage").press("Generate narrative").wait_for("ready")
    first = frontend.book("voyage")
    card.press("Read along")
    box = card.item.get_by_role("group", name="Text of Voyage")
    box.press("End")
    card.press("Read this passage again")

    def second() -> dict[str, Any] | None:
        book = frontend.book("voyage")
        return book if book["narrativeAudioTake"] == 2 else None

    book = wait_until(second, "the second take", 90)
    assert "narrativeAudioRetake" not in book and "narrativeAudioError" not in book
    assert book["narrativeAudioPath"] != first["narrativeAudioPath"]
    (again,) = [job for job in frontend.wait_for_history("voyage", 2) if job.get("take") == 2]
    assert again["segmentsKept"] == again["segments"] - 1
    card.wait_for("ready")
    expect(card.item.locator("[data-word]")).to_have_count(0)


def test_another_text_is_not_read_along(card: Card, frontend: Frontend) -> None:
    expect(card.button("Read along")).to_be_visible()
    frontend.node("books", "voyage").update({"narrative": TEXT + " And more."})
    expect(card.button("Read along")).to_be_hidden()


def test_the_browser_reads_the_captions(
    card: Card, catalogue: Catalogue, frontend: Frontend
) -> None:
    named = frontend.book("voyage")["narrativeAudioCaptions"]
    cues = catalogue.page.evaluate(_TRACK, named["vtt"]["url"])
    assert [text for _, _, text in cues][:2] == [
        "Chapter I",
        "Mr. Darcy came on deck in 1815 & looked at the water for a while.",
    ]
    assert all(start < end for start, end, _ in cues)
    chapters = catalogue.page.evaluate(_TRACK, named["chapters"]["url"])
    assert [(start, text) for start, _, text in chapters] == [(0, "Chapter I")]


def test_what_is_seen_of_a_catalogue(catalogue: Catalogue, frontend: Frontend) -> None:
    for number, title in enumerate(("Emma", "Persuasion", "Ivanhoe")):
        frontend.add(title.lower(), "A text.", title=title)
        if number:
            frontend.node("books", title.lower()).update(
                {"narrativeAudioStatus": "requested", "narrativeAudioRequestedAt": 100 - number}
            )
    state = '[data-part="state"]'
    expect(catalogue.card("Persuasion").item.locator(state)).to_have_text("Waiting, 2 of 2")
    expect(catalogue.card("Ivanhoe").item.locator(state)).to_have_text("Waiting, 1 of 2")
    expect(catalogue.page.locator("#summary")).to_have_text("3 books, 0 ready, 2 waiting")
    catalogue.page.get_by_label("Search titles and authors").fill("em")
    wait_until(lambda: catalogue.titles == ["Emma"], "the books that are looked for")
    catalogue.page.get_by_label("Show").select_option(label="Ready")
    expect(catalogue.page.get_by_text("No book is like that.")).to_be_visible()


#: What the module for frontends makes of documents of any shape, and of times.
_MODULE = """async () => {
  const { wordsOf, wordAt } = await import(new URL("narration.js", document.baseURI));
  const document_ = (words) => ({ textHash: "h", segments: [{ words }], timedBy: "magic" });
  const read = wordsOf(document_([[1, 2, 0, 3], [0, 1, 4, 5], [2, 3, 2, 6], "x", [2, 3, 4, 9]]));
  return {
    junk: [null, 1, "x", [], {}, { textHash: "h" }, { segments: [] }].map(wordsOf),
    read: read.words.map((word) => [word.start, word.from, word.to]),
    timedBy: read.timedBy,
    headings: read.headings,
    at: [0, 1, 1.5, 2, 99].map((seconds) => wordAt(read.words, seconds)),
    none: wordAt([], 5),
  };
}"""


def test_the_module_takes_any_document(catalogue: Catalogue) -> None:
    assert catalogue.page.evaluate(_MODULE) == {
        "junk": [None] * 7,
        "read": [[1, 0, 3], [2, 4, 9]],
        "timedBy": "length",
        "headings": [],
        "at": [-1, 0, 0, 1, 1],
        "none": -1,
    }

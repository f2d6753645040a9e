"""Somebody with a file before the detector page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from narrator_daemon.emulator import LocalFirebase
from tests.actors import ROOT

pytestmark = pytest.mark.e2e

VECTORS = ROOT / "tests" / "data" / "public_mark"
EXPECTED = json.loads((VECTORS / "vectors.json").read_text())["files"]


@pytest.fixture
def page(browser: Browser, firebase: LocalFirebase) -> Iterator[Page]:
    page = browser.new_page()
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto(firebase.page_url.partition("?")[0] + "detector.html")
    yield page
    page.close()
    assert not thrown


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_told_and_never_sent(page: Page, name: str) -> None:
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    page.set_input_files("#file", VECTORS / name)
    marked = name not in {"plain.wav", "secret-only.wav"}
    answer = "A machine spoke this." if marked else "No public mark was found."
    expect(page.locator("#answer")).to_have_text(answer, timeout=30_000)
    assert all(request.method == "GET" and not request.post_data for request in requests)
    # Programs of the page, and the icon that a browser asks for by itself: nothing that tells.
    origin = page.url.partition("/demo/")[0]
    told = {request.url for request in requests}
    assert all(url.startswith((origin, f"blob:{origin}")) and "?" not in url for url in told), told


def test_what_is_no_sound_is_refused_in_words(page: Page) -> None:
    page.set_input_files("#file", ROOT / "config.toml")
    expect(page.locator("#answer")).to_contain_text("cannot read the file as sound")
    page.set_input_files("#file", VECTORS / "marked.wav")
    expect(page.locator("#answer")).to_have_text("A machine spoke this.", timeout=30_000)


def test_nothing_may_leave_the_page(page: Page) -> None:
    left = page.evaluate("() => fetch('https://example.org/').then(() => true, () => false)")
    assert left is False


def test_it_can_be_used_without_a_mouse(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()


def test_it_can_be_read_aloud(page: Page, axe: str) -> None:
    page.set_input_files("#file", VECTORS / "marked.wav")
    expect(page.locator("#answer")).to_have_text("A machine spoke this.", timeout=30_000)
    page.evaluate(axe)
    faults = page.evaluate("() => axe.run().then(found => found.violations.map(v => v.id))")
    assert faults == []

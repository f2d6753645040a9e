"""Somebody with a file before the detector page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from narrator_daemon.credentials import signer as signers
from narrator_daemon.emulator import LocalFirebase
from tests.actors import ROOT
from tests.credentials.signed_files import made

pytestmark = pytest.mark.e2e

VECTORS = ROOT / "tests" / "data" / "public_mark"
COMMON_NAME = "narrator-daemon throwaway, not trusted"
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


MARKED = "A machine spoke this. It has no credentials."
NOTHING = "Nothing was found that says that a machine spoke this."


def look_at(page: Page, file: Path, answer: str) -> None:
    page.set_input_files("#file", file)
    expect(page.locator("#answer")).to_have_text(answer, timeout=60_000)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_is_told_and_never_sent(page: Page, name: str) -> None:
    requests: list[Request] = []
    page.context.on("request", lambda request: requests.append(request))
    marked = name not in {"plain.wav", "secret-only.wav"}
    look_at(page, VECTORS / name, MARKED if marked else NOTHING)
    expect(page.locator("#credentials")).to_have_text("None.")
    assert all(request.method == "GET" and not request.post_data for request in requests)
    # Programs of the page, and the icon that a browser asks for by itself: nothing that tells.
    origin = page.url.partition("/demo/")[0]
    told = {request.url for request in requests}
    assert all(url.startswith((origin, f"blob:{origin}")) and "?" not in url for url in told), told


@pytest.mark.parametrize("form", ["wav", "m4a", "mp3"])
def test_credentials_are_verified_in_the_browser(page: Page, tmp_path: Path, form: str) -> None:
    signed = made(tmp_path, form)
    look_at(
        page,
        signed,
        "A machine made this. It is unchanged since somebody who is not known here signed it.",
    )
    expect(page.locator("#credentials")).to_contain_text("Valid, and not trusted here; signed by")
    expect(page.locator("#credentials")).to_contain_text("book moby dick/ü")
    expect(page.locator("#label")).to_contain_text('"ProduceID":"abc123"')
    expect(page.locator("#mark")).to_contain_text("Found: a machine spoke this.")
    whole = bytearray(signed.read_bytes())
    whole[len(whole) // 2] ^= 1
    changed = tmp_path / f"changed.{form}"
    changed.write_bytes(whole)
    look_at(page, changed, "Its credentials do not hold.")
    expect(page.locator("#reasons")).to_contain_text("the file is not the one that was signed")
    # What is dropped next is looked at anew.
    look_at(page, VECTORS / "plain.wav", NOTHING)
    expect(page.locator("#reasons li")).to_have_count(0)


def test_whom_the_page_trusts_is_said(page: Page, tmp_path: Path) -> None:
    signer = signers.throwaway()
    root = "-----BEGIN" + signer.certificates.split("-----BEGIN")[2]
    page.route("**/anchors.txt", lambda route: route.fulfill(body=f"Ours.\n{root}"))
    look_at(
        page,
        made(tmp_path, "wav", signer),
        f"A machine made this. It is unchanged since {COMMON_NAME} signed it.",
    )
    expect(page.locator("#credentials")).to_contain_text("Valid, and trusted here")


def test_without_its_library_it_says_what_it_has_not_looked_at(page: Page, tmp_path: Path) -> None:
    page.route("**/vendor/c2pa*", lambda route: route.fulfill(status=404))
    look_at(page, made(tmp_path, "wav"), "A machine spoke this.")
    expect(page.locator("#credentials")).to_contain_text("Not looked at")


def test_what_reads_strangers_files_has_no_way_out(page: Page, tmp_path: Path) -> None:
    with page.expect_worker(lambda worker: worker.url.endswith("reader.js")) as started:
        page.set_input_files("#file", made(tmp_path, "wav", seconds=300))
    reached = started.value.evaluate(
        """async () => {
          while (globalThis.fetch) await new Promise((wait) => setTimeout(wait, 20));
          return ["fetch", "XMLHttpRequest", "WebSocket"].filter((name) => globalThis[name]);
        }"""
    )
    assert reached == []


def test_what_is_no_sound_is_refused_in_words(page: Page) -> None:
    page.set_input_files("#file", ROOT / "config.toml")
    expect(page.locator("#answer")).to_contain_text("cannot read the file as sound", timeout=60_000)
    expect(page.locator("#told")).to_be_hidden()
    look_at(page, VECTORS / "marked.wav", MARKED)


def test_nothing_may_leave_the_page(page: Page) -> None:
    left = page.evaluate("() => fetch('https://example.org/').then(() => true, () => false)")
    assert left is False


def test_it_can_be_used_without_a_mouse(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()


def test_it_can_be_read_aloud(page: Page, axe: str) -> None:
    look_at(page, VECTORS / "marked.wav", MARKED)
    page.evaluate(axe)
    faults = page.evaluate("() => axe.run().then(found => found.violations.map(v => v.id))")
    assert faults == []

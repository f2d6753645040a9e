"""The demo page as the documentation shows it: a daemon at work, seen in a browser.

python -m tests.e2e.picture [FILE.png]    (make e2e installs the browser)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from narrator_daemon.commands.demo import BAD_BOOK, example_books
from narrator_daemon.emulator import LocalFirebase
from tests.actors import ROOT, Daemon, Frontend, wait_until
from tests.e2e.catalogue import Catalogue

#: In the order of the page, which is that of their ids.
READY, FAILED, WAITING, LONG = "alice", BAD_BOOK, "dracula", "a-scandal-in-bohemia"


def take(target: Path) -> None:
    """Write the picture."""
    books = example_books()
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalFirebase() as firebase,
        Frontend(firebase.endpoints) as frontend,
        sync_playwright() as playwright,
    ):
        for book_id in (READY, FAILED, WAITING, LONG):
            frontend.node("books", book_id).set(books[book_id])
        daemon = Daemon(
            firebase.environment(),
            Path(folder) / "daemon",
            {"SPEECH__ENGINE": "piper", "DAEMON__BOOKS_AT_ONCE": 1},
        )
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            daemon.wait_ready()
            page = browser.new_page(viewport={"width": 1000, "height": 760}, color_scheme="light")
            page.goto(firebase.page_url)
            catalogue = Catalogue(page).wait_live()
            for book_id in (FAILED, READY):
                catalogue.card(books[book_id]["title"]).press("Generate narrative")
            catalogue.card(books[FAILED]["title"]).wait_for("failed")
            catalogue.card(books[READY]["title"]).wait_for("ready")
            for book_id in (LONG, WAITING):
                catalogue.card(books[book_id]["title"]).press("Generate narrative")
            long = catalogue.card(books[LONG]["title"])
            wait_until(lambda: 0.3 < long.progress < 1, "the middle of a book", 60)
            page.screenshot(path=target)
        finally:
            browser.close()
            daemon.kill()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/pictures/page.png")

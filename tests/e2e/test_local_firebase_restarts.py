"""A page that outlives the local Firebase it listens to."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from narrator_daemon.emulator import LocalFirebase
from tests.e2e.catalogue import Catalogue

pytestmark = pytest.mark.e2e


def test_a_page_comes_back_after_a_restart(browser: Browser) -> None:
    """The SDK falls back to long polling once a WebSocket has failed; it is led back."""
    first = LocalFirebase(storage=False).start()
    port = int(first.endpoints["database_host"].rpartition(":")[2])
    context = browser.new_context()
    page = context.new_page()
    refused: list[str] = []
    page.on("requestfailed", lambda request: refused.append(request.url))
    page.goto(first.page_url)
    catalogue = Catalogue(page).wait_live()
    first.stop()
    # The SDK has noticed: it has tried long polling in vain.
    while not any("/.lp?" in url for url in refused):
        page.wait_for_event("requestfailed", timeout=30_000)
    with LocalFirebase(storage=False, database_port=port) as second:
        second.load("/books/emma", {"title": "Emma", "narrative": "Emma Woodhouse."})
        catalogue.wait_live()
        catalogue.card("Emma").wait_for("none")
        page.evaluate("localStorage.setItem('firebase:previous_websocket_failure', 'true')")
        page.reload()
        Catalogue(page).wait_live().card("Emma").wait_for("none")
    context.close()

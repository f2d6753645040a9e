"""A browser before the demo page. ``make e2e`` installs what these tests need."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from narrator_daemon.emulator import LocalFirebase
from tests.actors import ROOT
from tests.e2e.catalogue import Catalogue

#: Screenshots of tests that failed.
ARTEFACTS = ROOT / "test-artefacts"

#: Nothing but the page goes over the network, and it may play what nobody has clicked on.
_SWITCHES = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("there is no Chromium here: run `make e2e`, which installs it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(_SWITCHES))
        yield running
        running.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


_FAILED = pytest.StashKey[bool]()


@pytest.fixture
def open_page(
    browser: Browser, firebase: LocalFirebase, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Catalogue]]:
    """Opens tabs on the page; what a page throws fails the test, with a screenshot of each tab."""
    tabs: list[Page] = []
    thrown: list[str] = []

    def open_(**context: object) -> Catalogue:
        page = browser.new_context(**context).new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        page.goto(firebase.page_url)
        tabs.append(page)
        return Catalogue(page).wait_live()

    yield open_
    if request.node.stash.get(_FAILED, False) or thrown:
        ARTEFACTS.mkdir(exist_ok=True)
        for number, page in enumerate(tabs):
            name = f"{request.node.name}-{number}.png".replace("/", "_")
            page.screenshot(path=ARTEFACTS / name, full_page=True)
    for page in tabs:
        page.context.close()
    assert thrown == []


@pytest.fixture
def catalogue(open_page: Callable[..., Catalogue]) -> Catalogue:
    return open_page()


@pytest.fixture
def axe() -> str:
    """The source of axe-core."""
    file: Path = ROOT / "examples/frontend/node_modules/axe-core/axe.min.js"
    return file.read_text(encoding="utf-8")

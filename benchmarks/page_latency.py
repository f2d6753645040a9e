"""What an admin waits for on the demo page, in a real browser beside daemon and database.

    python -m benchmarks.page_latency [PRESSES]

One book with the tone engine, pressed again and again. From the click to the card that says
"Narrating", and from the time that the database stamped on the publication to the player with the
new take in it; both ends of each by clocks of this machine. Chromium as ``make e2e`` installs it.
"""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

from benchmarks.common import daemon, frontend
from benchmarks.reporting import median, percentile, report
from narrator_daemon.emulator import LocalFirebase

#: Presses the button, and waits for what the card shows: milliseconds since 1970.
_PRESS = """() => new Promise((resolve) => {
  const card = document.querySelector('[data-book="emma"]');
  const audio = card.querySelector("audio");
  const before = audio.getAttribute("src");
  const seen = { pressed: Date.now() };
  const look = () => {
    const state = card.dataset.state;
    if (state === "processing") seen.processing ??= Date.now();
    const fresh = audio.checkVisibility() && audio.getAttribute("src") !== before;
    if (state !== "ready" || !fresh) return;
    watcher.disconnect();
    resolve({ ...seen, player: Date.now() });
  };
  const watcher = new MutationObserver(look);
  watcher.observe(card, { attributes: true, subtree: true });
  card.querySelector('[data-do="request"]').click();
})"""


def main(presses: int) -> None:
    """Measure and report."""
    chromium = shutil.which("chromium")
    claimed, published = [], []
    with (
        LocalFirebase() as firebase,
        frontend(firebase) as node,
        daemon(firebase, LIMITS__REQUESTS_PER_MINUTE=0),
        sync_playwright() as playwright,
    ):
        emma = node("books/emma")
        emma.set({"title": "Emma", "narrative": "A sentence that is read aloud."})
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(firebase.page_url)
        page.wait_for_selector('[data-book="emma"]')
        for _ in range(presses):
            seen = page.evaluate(_PRESS)
            if "processing" in seen:
                claimed.append(float(seen["processing"] - seen["pressed"]))
            published.append(float(seen["player"] - emma.child("narrativeUpdatedAt").get()))
        browser.close()
    rows = [("button to processing", claimed), ("publication to player", published)]
    report(
        "page_latency",
        [
            {
                "what": what,
                "times": len(values),
                "median_ms": median(values),
                "p99_ms": percentile(values, 0.99),
            }
            for what, values in rows
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)

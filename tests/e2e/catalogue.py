"""The demo page as an admin sees it: books by their titles, buttons by their names."""

from __future__ import annotations

import base64
from typing import Any

from playwright.sync_api import Locator, Page, expect

#: Decodes a WAV as the browser does and gives its seconds and its root mean square.
_DECODE = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const sound = await new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes.buffer);
  const samples = sound.getChannelData(0);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return { seconds: sound.duration, rms: Math.sqrt(power) };
}"""


class Card:
    """One book on the page."""

    def __init__(self, page: Page, title: str) -> None:
        self._page = page
        self.title = title
        heading = page.get_by_role("heading", name=title, exact=True)
        self.item = page.get_by_role("listitem").filter(has=heading)

    def button(self, name: str) -> Locator:
        return self.item.get_by_role("button", name=f"{name}: {self.title}", exact=True)

    def press(self, name: str) -> Card:
        self.button(name).click()
        return self

    def wait_for(self, state: str, seconds: float = 60) -> Card:
        expect(self.item).to_have_attribute("data-state", state, timeout=seconds * 1000)
        return self

    @property
    def player(self) -> Locator:
        return self.item.locator("audio")

    @property
    def facts(self) -> Locator:
        return self.item.locator('[data-part="facts"]')

    @property
    def progress(self) -> float:
        bar = self.item.get_by_role("progressbar")
        return float(bar.evaluate("bar => bar.value")) if bar.is_visible() else 0.0

    @property
    def url(self) -> str:
        return str(self.player.get_attribute("src"))

    def play(self) -> float:
        """Play for a while, and give the position that was reached."""
        self.player.evaluate("audio => audio.play()")
        handle = self.player.element_handle()
        self._page.wait_for_function("audio => audio.currentTime > 0.5", arg=handle)
        return float(self.player.evaluate("audio => audio.currentTime"))

    def heard(self) -> dict[str, Any]:
        """What the browser decodes of the audio: ``seconds`` and ``rms``."""
        body = self._page.request.get(self.url).body()
        found: dict[str, Any] = self._page.evaluate(_DECODE, base64.b64encode(body).decode())
        return found


class Catalogue:
    """One tab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def wait_live(self) -> Catalogue:
        expect(self.page.locator("#connection")).to_have_text("Live")
        return self

    def card(self, title: str) -> Card:
        return Card(self.page, title)

    @property
    def titles(self) -> list[str]:
        return self.page.get_by_role("listitem").get_by_role("heading").all_inner_texts()

    def fill(self, **fields: str) -> None:
        """Fill the open editor and save it."""
        editor = self.page.get_by_role("dialog")
        for label, text in fields.items():
            editor.get_by_label(label, exact=True).fill(text)
        editor.get_by_role("button", name="Save").click()

"""Pages hold what strangers wrote: nothing of it may act."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
import numpy as np
import pytest
import soundfile
from markupsafe import Markup

from narrator_daemon import pages
from narrator_daemon.marks import keys, ledger
from narrator_daemon.marks.originals import Originals
from narrator_daemon.marks.report import write_picture
from narrator_daemon.settings import Settings

PACKAGE = Path(pages.__file__).parent
HOSTILE = [
    "</title><script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)> ' onload='alert(1)",
    "{{ 7 * 7 }} {% include 'page.html.jinja' %} {# gone #}",
    "&lt;b&gt; &amp; &#0;",
    "\x00\x1b[31m\u202e\ud800\ufffe\U000e0001",
]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def render(**values: Any) -> str:
    page = "".join(pages.render("marks/report.html.jinja", **values))
    page.encode()
    return page


def shown(text: str) -> str:
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_filled_in_is_text_wherever_it_stands(text: str) -> None:
    calm = Page(render(title="a", picture=Markup("<svg/>"), lines=["b", "c"]))
    page = Page(render(title=text, picture=Markup("<svg/>"), lines=[text, "c"]))
    assert (page.tags, page.attributes) == (calm.tags, calm.attributes)
    # In the title, the heading and the list.
    assert page.text.count(shown(text)) == 3


def test_a_picture_goes_in_as_it_is_only_where_it_is_marked_so() -> None:
    assert "svg" in Page(render(title="a", picture=Markup("<svg/>"), lines=[])).tags
    assert "svg" not in Page(render(title="a", picture="<svg/>", lines=[])).tags


def test_every_page_forbids_scripts_and_the_network() -> None:
    templates = sorted(PACKAGE.rglob("*.jinja"))
    assert len(templates) >= 3
    for template in templates:
        text = template.read_text(encoding="utf-8")
        # Autoescape is on for all of them, and nothing in them switches it off.
        assert "|safe" not in text.replace(" ", "") and "autoescape" not in text, template
        assert "<script" not in text and "http" not in text.replace("http-equiv", ""), template
        if template.name != "page.html.jinja":
            assert text.startswith('{% extends "page.html.jinja" %}'), template
    page = Page(render(title="a", picture="", lines=[]))
    (policy,) = (value for _, value in page.attributes if value and "default-src" in value)
    assert "default-src 'none'" in policy and "script" not in policy


def test_a_value_that_a_template_lacks_is_no_empty_page() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(title="a")


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("suffix", [".html", ".svg"])
def test_a_found_file_may_have_any_name(hostile: str, suffix: str, tmp_path: Path) -> None:
    name = hostile.replace("/", "|").replace("\0", "").replace("\ud800", "") + ".wav"
    soundfile.write(tmp_path / name, np.zeros(48_000, np.float32), 24_000)
    out = tmp_path / f"out{suffix}"
    nothing = ledger.Tables({}, ""), out, Originals(Settings())
    write_picture(tmp_path / name, [keys.PUBLIC], *nothing)
    text = out.read_text(encoding="utf-8")
    if suffix == ".svg":
        tree = ElementTree.fromstring(text)  # noqa: S314 — our own
        assert shown(name) in "".join(tree.itertext())
    else:
        page = Page(text)
        assert page.text.count(shown(name)) == 2  # the title and the heading
        assert not {"script", "img"} & set(page.tags)
        assert not any(key.startswith("on") for key, _ in page.attributes)

"""Whole texts, as they are kept: crashes, words that are not heard, and MB a second.

    python -m benchmarks.whole_texts CACHE [MEGABYTES]

The HTML of Debian's ``anarchism``, the collections of ``fortunes``, the documents of
``doc-debian`` and the licences of a Debian machine; packages are downloaded into CACHE once. Words
of three letters and more are counted in the text, without its tags, and in its segments. What is
missing there is told in full: abbreviations and Roman numerals are, as they are read in words.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.reporting import report
from csm.text import NothingToSpeak, segment

_PACKAGES = ("anarchism", "fortunes", "doc-debian")
_LICENCES = Path("/usr/share/common-licenses")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LINE_HYPHEN = re.compile(r"(?<=[a-z])-\s*\n\s*(?=[a-z])")
_LEAST_BYTES = 3000


class _Words(HTMLParser):
    """The words of a page, without what is silent."""

    _SILENT = frozenset(("script", "style", "head", "sup"))
    _INLINE = frozenset(("a", "b", "i", "em", "strong", "font", "span", "u", "tt", "big", "small"))

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in self._SILENT
        if tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")
        if tag not in self._INLINE:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self._SILENT and self._silent > 0
        if tag not in self._INLINE:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _files(cache: Path) -> Iterator[Path]:
    cache.mkdir(parents=True, exist_ok=True)
    for package in _PACKAGES:
        if not (cache / package).exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=cache, check=True)
            archive = next(cache.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg", "-x", archive.name, package], cwd=cache, check=True)
    found = [path for package in _PACKAGES for path in (cache / package).rglob("*")]
    found += _LICENCES.glob("*")
    kept = [
        path
        for path in found
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= _LEAST_BYTES
    ]
    # Kinds in turn, so that a small share of all has each.
    return iter(sorted(kept, key=lambda path: (path.name[::-1], str(path))))


def _words(text: str) -> Counter[str]:
    if "<p" in text.lower() and "</" in text:
        page = _Words()
        page.feed(text)
        text = "".join(page.parts)
    text = _LINE_HYPHEN.sub("", text.replace("\u00ad", ""))
    return Counter(word.casefold() for word in _WORD.findall(re.sub(r"[\[\]]", "", text)))


def main(cache: Path, megabytes: float) -> None:
    """Read all of it and report."""
    size = words = crashes = 0
    spent = 0.0
    missing: Counter[str] = Counter()
    for path in _files(cache):
        raw = path.read_bytes()
        if b"\0" in raw[:2000] or size + len(raw) > megabytes * 1e6:
            continue
        text = raw.decode("utf-8", "replace")
        started = time.process_time()
        try:
            segments = segment(text)
        except NothingToSpeak:
            continue
        except Exception as error:  # a crash is what is counted
            crashes += 1
            print(f"{path}: {error!r}")
            continue
        spent += time.process_time() - started
        size += len(raw)
        written = _words(text)
        heard = Counter(word.casefold() for s in segments for word in _WORD.findall(s.text))
        words += sum(written.values())
        missing += written - heard
    report(
        "whole_texts",
        [
            {
                "MB": size / 1e6,
                "crashes": crashes,
                "MB/s": size / 1e6 / spent,
                "words": words,
                "not as written": sum(missing.values()),
            }
        ],
    )
    print("not as written:", ", ".join(f"{word} {count}" for word, count in missing.most_common()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 100.0)

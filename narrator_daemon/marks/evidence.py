"""A finding as one page for a lawyer: ``narrator-daemon watermark report --evidence``.

It says what was examined and with what, how the chance of error is reckoned, where along the file
the mark is, what else the file and the database say, and what all that does not show.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

import watermark
from narrator_daemon import __version__, pages
from narrator_daemon.catalogue import moment
from narrator_daemon.clock import in_utc
from narrator_daemon.credentials.labels import read_label
from narrator_daemon.credentials.reading import Trust, read_credentials
from narrator_daemon.errors import Unreadable
from narrator_daemon.marks import keys as key_files
from narrator_daemon.marks.audio_files import open_audio
from narrator_daemon.marks.detect import Finding, Search, Source, public_mark_in
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.marks.ledger import Tables
from narrator_daemon.marks.provenance import Inspection, Layers, judge
from narrator_daemon.marks.report import MOST_BOOKS, clock, explained, traces_of, verdict
from narrator_daemon.terminal import visible
from watermark.statistics import decimal_exponent

_BLOCK = 1 << 20


@dataclass(frozen=True)
class History:
    """What a database knows of a book.

    Attributes:
        book_id: which.
        entries: of the register, by their tokens.
        note: what could not be asked; else empty.
    """

    book_id: str
    entries: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Examined:
    """A file that was examined.

    Attributes:
        inspection: what was found in it, in all layers.
        size: in bytes.
        digest: its SHA-256, hexadecimal.
        rate: samples a second.
        channels: how many.
        keys: that were looked with.
        tables: that were looked up in.
    """

    inspection: Inspection
    size: int
    digest: str
    rate: int
    channels: int
    keys: Sequence[NamedKey]
    tables: Tables

    @property
    def finding(self) -> Finding:
        """What the search for the mark found."""
        return self.inspection.layers.mark

    @property
    def books(self) -> list[str]:
        """The books that it was made from, as far as they are known."""
        found = [entry.book_id for source in self.finding.sources for entry in source.entries]
        return list(dict.fromkeys(found))


def examine(path: Path, keys: Sequence[NamedKey], tables: Tables, trust: Trust) -> Examined:
    """Look at a file in all its layers.

    Args:
        path: the file.
        keys: to try.
        tables: index → books.
        trust: whose certificates are believed.

    Raises:
        Unreadable: it cannot be read, or was changed meanwhile.
    """
    size, digest = _digest(path)
    with open_audio(path) as audio:
        rate, channels = audio.rate, audio.channels
    credentials = read_credentials(path, trust)
    finding = Search(keys, tables).examine(path)
    public = list(keys) == [key_files.PUBLIC]
    heard = public_mark_in(path)
    layers = Layers(path, credentials, read_label(path), heard, finding, public)
    return Examined(judge(layers), size, digest, rate, channels, keys, tables)


def page(
    examined: Examined,
    histories: Sequence[History],
    *,
    now: datetime,
    signed: str,
) -> str:
    """The page, HTML.

    Args:
        examined: the file.
        histories: of its books.
        now: when it was examined.
        signed: what is said of the page's signature.

    Raises:
        Unreadable: the file cannot be read again, or was changed since.
    """
    finding, layers = examined.finding, examined.inspection.layers
    path = layers.path
    traces = traces_of(path, examined.keys, finding.sources[:MOST_BOOKS])
    if _digest(path) != (examined.size, examined.digest):
        raise Unreadable("was changed while it was examined", where=str(path))
    credentials = layers.credentials
    return "".join(
        pages.render(
            "marks/evidence.html.jinja",
            title=f"Examination of {path.name}",
            verdict=_sentence(examined),
            public_key=layers.public_key,
            file=[
                ("File", path.name),
                ("Size", f"{examined.size:,} bytes"),
                ("SHA-256", examined.digest),
                (
                    "Sound",
                    f"{clock(finding.detection.seconds)} (h:mm:ss), {examined.rate:,} samples a "
                    f"second, {examined.channels} channel{'s' * (examined.channels > 1)}",
                ),
                ("Examined", f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"),
                ("With", f"narrator-daemon {__version__}"),
            ],
            search=list(_searched(examined)),
            sources=[_arithmetic(each) for each in finding.sources],
            limit="a thousand million",
            picture=Markup(visible(watermark.picture(traces), keep="\n")),  # noqa: S704 — escaped
            lines=list(explained(finding)) or ["no mark anywhere"],
            reasons=examined.inspection.reasons,
            layers=[*_told(layers.label, "label AIGC"), *_told_by(credentials)],
            histories=[_history(each) for each in histories],
            version=__version__,
            signed=signed,
        )
    )


def _sentence(examined: Examined) -> str:
    finding = examined.finding
    if finding.ambiguous:
        return f"Two tables have the index of its mark for two books: {verdict(finding)}."
    if not finding.sources:
        note = f" ({finding.note})" if finding.note else ""
        return f"No mark of the keys below was found{note}."
    names = " and of ".join(source.name for source in finding.sources)
    worst = max(_exponent(each) for each in finding.sources)
    return (
        f"The sound of this file bears the mark of {names}. Sound without that mark would give "
        f"such a result in at most {_power(worst)} of searches like this one."
    )


def _searched(examined: Examined) -> Iterator[tuple[str, str]]:
    finding = examined.finding
    for key in examined.keys:
        yield f"Key {key.name}", f"fingerprint {key_files.fingerprint(key.key)}"
    known = len(examined.tables.known)
    yield "Books looked for", f"{known:,} by name, and any other by the number in its mark"
    yield "Stretch", f"all {finding.detection.seconds:.1f} seconds of the file"
    yield (
        "Changes undone",
        "cuts, mixes, and the changes of speed, tempo and pitch that the documentation of this "
        "version lists",
    )
    if finding.note:
        yield "Note", finding.note


def _exponent(source: Source) -> float:
    return decimal_exponent(source.sighting.score, source.sighting.hypotheses)


def _arithmetic(source: Source) -> dict[str, Any]:
    score, tests = source.sighting.score, source.sighting.hypotheses
    one, whole = decimal_exponent(score, 1.0), _exponent(source)
    times = f"1 in {_in_words(whole)}"
    return {
        "name": source.name,
        "rows": [
            ("Number in the mark", str(source.sighting.book_index)),
            ("Known from", source.table or "no table"),
            ("Key", source.key_name),
            ("Score", f"{score:.2f} standard deviations"),
            ("Chance of such a score in one test", f"at most {_power(one)}"),
            ("Tests that the search counts for", f"at most {tests:,.0f}"),
            (
                "Chance in the whole search",
                f"at most {_power(one)} × {tests:,.0f} = {_power(whole)}",
            ),
        ],
        "words": (
            "The pattern of a mark is some thousand signs, plus and minus, that the key decides. "
            "The score says how well the sound follows them. Sound that has nothing to do with the "
            "key follows as many signs as it goes against, give or take: its score lies between "
            "minus 3 and 3 in all but three of a thousand tests. How rarely a sum of so many coin "
            "tosses reaches a score of its own accord is known exactly enough for a bound (Bentkus "
            "and Dzindzalieta, Bernoulli 21, 2015: 3.18 times the tail of the normal "
            "distribution). A search makes many tests: at every place, speed and pitch, with every "
            "key, for every book. The chance in one test is therefore multiplied by their number. "
            f"That gives at most {times}: so often would a whole search like this one name a book "
            "by mistake."
        ),
    }


def _power(exponent: float) -> str:
    """A probability by its common logarithm, rounded up."""
    whole = math.floor(exponent)
    mantissa = math.ceil(10 ** (exponent - whole) * 10) / 10
    if mantissa >= 10:
        mantissa, whole = 1.0, whole + 1
    if whole > -5:
        return f"{min(mantissa * 10.0**whole, 1.0):.4f}"
    return f"{mantissa:.1f} × 10^{whole}"


#: Names of thousands, by how many there are.
_THOUSANDS = ("", " thousand", " million", " thousand million", " million million")


def _in_words(exponent: float) -> str:
    """The number that a probability is one in, in words, rounded down."""
    digits = math.floor(-exponent)
    if digits >= 3 * len(_THOUSANDS):
        return f"a number of {digits + 1} digits"
    thousands, rest = divmod(digits, 3)
    return f"{10**rest}{_THOUSANDS[thousands]}"


def _told(label: Mapping[str, Any] | None, name: str) -> Iterator[tuple[str, str]]:
    if label is not None:
        told = ", ".join(f"{key} {value}" for key, value in label.items() if value != "")
        yield name, told


def _told_by(credentials: Any) -> Iterator[tuple[str, str]]:
    if credentials is None:
        return
    yield "credentials signed by", credentials.signer or "nobody who is named"
    yield "credentials say", ", ".join(f"{k} {v}" for k, v in credentials.facts.items()) or "–"
    stamped = f"{credentials.signed_at}, by a time stamp authority"
    own = f"{credentials.made_at or 'not told'}, by their own word"
    yield "made", stamped if credentials.signed_at else own


#: Fields of the register's entries, as they are told.
_FIELDS = {
    "publishedAt": "Published",
    "requestedAt": "Asked for",
    "claimedAt": "Work began",
    "path": "Object in the bucket",
    "seconds": "Seconds of sound",
    "bytes": "Bytes",
    "fileSha256": "SHA-256 of the file",
    "samplesSha256": "SHA-256 of its samples",
    "watermarkIndex": "Number in the mark",
    "watermarkKey": "Fingerprint of the mark's key",
    "version": "Made by narrator-daemon",
    "engine": "Engine",
    "model": "Model",
    "revision": "Revision",
    "voice": "Voice",
    "textHash": "SHA-256 of the text",
}


def _history(history: History) -> dict[str, Any]:
    entries = sorted(
        (each for each in history.entries.values() if isinstance(each, dict)),
        key=lambda entry: (moment(entry.get("publishedAt")) or math.inf, str(entry.get("path"))),
    )
    note = history.note
    if not entries and not note:
        note = "The register has no entry of it."
    return {"book": history.book_id, "note": note, "entries": list(map(_entry, entries))}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for name, told in _FIELDS.items():
        value = entry.get(name)
        if name.endswith("At"):
            at = moment(value)
            value = None if at is None else in_utc(at)
        if value is not None:
            rows.append((told, str(value)))
    files = entry.get("files")
    for form, one in files.items() if isinstance(files, dict) else ():
        if isinstance(one, dict):
            told = f"{one.get('sha256')}, {one.get('bytes')} bytes"
            rows.append((f"SHA-256 of the {str(form).upper()} beside it", told))
    if "publishedAt" not in entry:
        rows.insert(0, ("Published", "not confirmed"))
    return {"take": str(entry.get("take", "?")), "rows": rows}


def _digest(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file.

    Raises:
        Unreadable: it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}", where=str(path)) from None
    return size, digest.hexdigest()

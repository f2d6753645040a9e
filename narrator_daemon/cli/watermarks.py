"""Watermarks: finding them, and the keys they are made with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from narrator_daemon.cli.common import CANNOT, ConfigOption, load_settings, tell
from narrator_daemon.errors import Unreadable, WrongUse
from narrator_daemon.settings import Settings
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.marks.detect import Finding
    from narrator_daemon.marks.keys import NamedKey

ThoroughOption = Annotated[
    bool,
    typer.Option(
        "--thorough",
        help="Where nothing is found, search on, for marks whose pilot was attacked: "
        "a quarter of the file's length.",
    ),
]

OriginalOption = Annotated[
    Path | None,
    typer.Option(
        "--original",
        metavar="FILE",
        help="The narration's own file, to be held against instead of the register's fingerprint.",
    ),
]

#: Exit status where two tables have an index for two books.
AMBIGUOUS = 3

app = typer.Typer(no_args_is_help=True, help="Find and make watermarks.")
keys_app = typer.Typer(no_args_is_help=True, help="Watermark keys, and keys that sign.")


@app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    thorough: ThoroughOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Say which book each file was made from.

    Exit 0: all found; 1: not all; 2: one was unreadable; 3: a mark may be that of either of two
    books. Books are looked up in the marks.json beside a file and in the database, if one is
    configured.
    """
    from narrator_daemon.marks import ledger
    from narrator_daemon.marks.detect import Search

    settings = load_settings(config_file)
    keys = keys_or_public(settings)
    searches: dict[Path, Search] = {}
    findings: list[Finding] = []
    unreadable: list[tuple[Path, str]] = []
    for file in files:
        if file.parent not in searches:
            tables = ledger.known_marks(settings, file.parent)
            searches[file.parent] = Search(keys, tables, thorough=thorough)
        try:
            findings.append(searches[file.parent].examine(file))
        except Unreadable as error:
            # The others are searched all the same.
            tell(str(error))
            unreadable.append((file, str(error)))
    if as_json:
        records = [finding.as_record() for finding in findings]
        records += [{"file": str(file), "found": False, "error": why} for file, why in unreadable]
        print(json.dumps(records))
    else:
        _print_findings(findings, several_keys=len(keys) > 1)
    if unreadable:
        raise typer.Exit(CANNOT)
    if any(finding.ambiguous for finding in findings):
        raise typer.Exit(AMBIGUOUS)
    raise typer.Exit(0 if all(finding.sources for finding in findings) else 1)


@app.command()
def verify(
    book_id: Annotated[str, typer.Argument(metavar="BOOK_ID")],
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    thorough: ThoroughOption = False,
    original: OriginalOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Say whether a file was made from a book.

    It says whether it bears the mark, and whether it is the same recording, by the register's
    fingerprint or the audio in the bucket. Exit 0: it was; 1: not so far as can be told, or its
    mark is on another recording; 2: error; 3: its mark may be that of either of two books. With
    one book in question less sound, and worse, is enough than for a search among all.
    """
    from narrator_daemon.marks import ledger
    from narrator_daemon.marks.detect import Search
    from narrator_daemon.marks.originals import Originals

    settings = load_settings(config_file)
    keys = keys_or_public(settings)
    tables = ledger.known_marks(settings, file.parent)
    indices = ledger.indices_of(tables, file.parent, book_id)
    finding = Search(keys, tables, indices, thorough=thorough).examine(file)
    source = finding.of_book(indices)
    if source is None:
        if not finding.sources:
            # Another book's mark is found with less sound where it is looked for.
            finding = Search(keys, tables, thorough=thorough).examine(file)
        others = ", ".join(each.name for each in finding.sources)
        why = f" It bears the mark of another book: {others}." if others else ""
        note = f" ({finding.note})" if finding.note else ""
        print(plain(f"{file}: no mark of {book_id} found{note}.{why}"))
        raise typer.Exit(1)
    print(
        plain(
            f"{file}: {source.name if source.ambiguous else f'made from {book_id}'}, "
            f"by {source.table}, score {source.sighting.score:.1f}, "
            f"chance of error {source.chance_of_error}, key {source.key_name}"
        )
    )
    compared = Originals(settings, original).compared(file, source)
    print(plain(f"  {compared.told}"))
    if source.ambiguous:
        raise typer.Exit(AMBIGUOUS)
    raise typer.Exit(1 if compared.same is False else 0)


@app.command()
def report(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=".svg or .html; default: FILE.svg here, or FILE.evidence.html.",
        ),
    ] = None,
    evidence: Annotated[
        bool,
        typer.Option("--evidence", help="One page for a lawyer; signed, with a certificate."),
    ] = False,
    original: OriginalOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Draw where along a file which book's mark is.

    Exit 0: found; 1: not; 2: unreadable; 3: a mark may be that of either of two books.
    """
    from narrator_daemon.marks import ledger
    from narrator_daemon.marks.originals import Originals
    from narrator_daemon.marks.report import explained, verdict, write_picture

    settings = load_settings(config_file)
    out = out or Path(f"{file.name}.evidence.html" if evidence else f"{file.name}.svg")
    if out.suffix.lower() not in ({".html"} if evidence else {".svg", ".html"}):
        raise WrongUse(f"must end in {'' if evidence else '.svg or '}.html", where=str(out))
    keys = keys_or_public(settings)
    originals = Originals(settings, original)
    if evidence:
        from narrator_daemon.commands.evidence import write_evidence

        finding, signature = write_evidence(settings, keys, file, out, originals)
        lines = list(explained(finding))
        beside = f", signed in {signature}" if signature else ", not signed"
        print(plain(f"{out} written{beside}"))
    else:
        tables = ledger.known_marks(settings, file.parent)
        finding, lines = write_picture(file, keys, tables, out, originals)
    print(plain(f"{file}: {verdict(finding)}"))
    for line in lines:
        print(plain(f"  {line}"))
    if finding.ambiguous:
        raise typer.Exit(AMBIGUOUS)
    raise typer.Exit(0 if finding.sources else 1)


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(metavar="IN")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help=".wav or .flac")],
    book_id: Annotated[
        str | None,
        typer.Option("--book", metavar="ID", help="Its index is looked up, or allotted."),
    ] = None,
    index: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Instead of a book.")
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Mark an audio file with the identity of a book."""
    from narrator_daemon.marks import keys, ledger
    from narrator_daemon.marks.embed import check_target, embed_file
    from watermark import MIN_SECONDS, WEAK_SCORE

    settings = load_settings(config_file)
    if (book_id is None) == (index is None):
        raise WrongUse("Name either --book ID or --index N.")
    key = keys.load(settings) or _public().key
    check_target(source, target)
    if book_id is not None:
        index = ledger.allotted_index(settings, target.parent, book_id)
    marked = embed_file(source, target, key, index or 0, settings.watermark.strength_db)
    name = f"index {index}" if book_id is None else f"{book_id} (index {index})"
    print(plain(f"{target}: marked as {name}, {marked.seconds:.1f} s, score {marked.score:.1f}"))
    if marked.score < WEAK_SCORE or marked.seconds < MIN_SECONDS:
        note = "It is too short or too quiet for its mark to be found in a recompressed copy."
        Console(stderr=True).print(note, style="yellow")


def keys_or_public(settings: Settings) -> list[NamedKey]:
    """The keys to look for marks with; the public one, and a word of warning, where none is set.

    Raises:
        ConfigError: one cannot be read.
    """
    from narrator_daemon.marks import keys

    return keys.load_all(settings) or [_public()]


def _public() -> NamedKey:
    from narrator_daemon.marks import keys

    note = "No watermark key is configured: using the public one, which proves nothing."
    Console(stderr=True).print(note, style="yellow")
    return keys.PUBLIC


def _print_findings(findings: list[Finding], *, several_keys: bool) -> None:
    table = Table()
    headings = ["File", "Verdict", "Book", "By", "Score", "Chance of error", "Note"]
    if several_keys:
        headings.insert(4, "Key")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for finding in findings:
        best = finding.sources[0] if finding.sources else None
        others = ", ".join(source.name for source in finding.sources[1:])
        note = f"also in it: {others}" if others else ""
        cells = [
            plain(finding.path),
            plain("ambiguous" if finding.ambiguous else "marked" if best else "no mark found"),
            plain(best.name if best else ""),
            plain(best.table if best else ""),
            plain(f"{finding.detection.score:.1f}"),
            plain(best.chance_of_error if best else ""),
            plain("; ".join(filter(None, [finding.note, note]))),
        ]
        if several_keys:
            cells.insert(4, plain(best.key_name if best else ""))
        table.add_row(*cells)
    Console().print(table)


@keys_app.command()
def certificate(
    key_file: Annotated[Path, typer.Argument(help="Written with mode 600; must not exist.")],
    organisation: Annotated[
        str, typer.Option("--organisation", "-o", help="Whose the certificate will be.")
    ],
) -> None:
    """Make a key for content credentials, and a request for a certificate to it.

    The request stands beside the key, as FILE.csr; a certificate authority makes the certificate.
    """
    from narrator_daemon.credentials.signer import new_key_and_request
    from narrator_daemon.marks import keys

    key, request = new_key_and_request(organisation)
    request_file = key_file.with_name(f"{key_file.name}.csr")
    keys.write_secret(key_file, key)
    request_file.write_text(request)
    print(
        f"Wrote {os.fspath(key_file)} and {os.fspath(request_file)}. Give the second to a "
        "certificate authority, and name what comes back, and the first, under [credentials]."
    )


@keys_app.command()
def new(
    file: Annotated[Path, typer.Argument(help="Written with mode 600; must not exist.")],
) -> None:
    """Make a watermark key."""
    from narrator_daemon.marks import keys

    keys.write_new(file)
    print(f"Wrote {os.fspath(file)}. Keep a copy: marks made with it can be found with it only.")


@keys_app.command()
def fingerprint(config_file: ConfigOption = None) -> None:
    """Say by what each configured watermark key is known in evidence and in the register.

    It may be shown to anybody: nothing of the key follows from it.
    """
    from narrator_daemon.marks import keys

    settings = load_settings(config_file)
    for each in keys_or_public(settings):
        print(plain(f"{keys.fingerprint(each.key)}  {each.name}"))

"""Watermarks: finding them, and the keys they are made with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from narrator_daemon.cli.common import ConfigOption, fail, load_settings
from narrator_daemon.config import ConfigError
from narrator_daemon.settings import Settings
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon import provenance

app = typer.Typer(no_args_is_help=True, help="Find and make watermarks.")
keys_app = typer.Typer(no_args_is_help=True, help="Watermark keys.")


@app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Say which book each file was made from: exit 0 all found, 1 not, 2 unreadable.

    Books are looked up in the marks.json beside a file, else in the database if one is configured.
    """
    from narrator_daemon import provenance
    from narrator_daemon.project import Unavailable

    settings = load_settings(config_file)
    key = _key_or_public(settings)
    findings = []
    for file in files:
        try:
            known = provenance.known_marks(settings, file.parent)
            findings.append(provenance.find(file, key, known))
        except (provenance.Unreadable, ConfigError, Unavailable) as error:
            raise fail(str(error)) from None
    if as_json:
        print(json.dumps([finding.as_record() for finding in findings]))
    else:
        _print_findings(findings)
    raise typer.Exit(0 if all(finding.detection.found for finding in findings) else 1)


def _key_or_public(settings: Settings) -> bytes:
    from narrator_daemon import keys

    try:
        key = keys.load(settings)
    except ConfigError as error:
        raise fail(str(error)) from None
    if key is None:
        note = "No watermark key is configured: using the public one, which proves nothing."
        Console(stderr=True).print(note, style="yellow")
    return key or keys.DEMO_KEY


def _print_findings(findings: list[provenance.Finding]) -> None:
    table = Table()
    for heading in ("File", "Verdict", "Book", "Score", "Chance of error", "Note"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        found = finding.detection
        book = finding.book_id or (f"index {found.book_index}, not known" if found.found else "")
        table.add_row(
            plain(finding.path),
            "marked" if found.found else "no mark found",
            plain(book),
            f"{found.score:.1f}",
            finding.chance_of_error if found.found else "",
            plain(found.note),
        )
    Console().print(table)


@keys_app.command()
def new(
    file: Annotated[Path, typer.Argument(help="Written with mode 600; must not exist.")],
) -> None:
    """Make a watermark key."""
    from narrator_daemon import keys

    try:
        keys.write_new(file)
    except FileExistsError:
        raise fail(f"{file}: is there already; a key that marked anything is kept") from None
    except OSError as error:
        raise fail(f"{file}: cannot be written: {error.strerror}") from None
    print(f"Wrote {os.fspath(file)}. Keep a copy: marks made with it can be found with it only.")

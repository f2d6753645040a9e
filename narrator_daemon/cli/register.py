"""The register of what was published."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from narrator_daemon.cli.common import ConfigOption, load_settings

app = typer.Typer(no_args_is_help=True, help="The register of what was published.")


@app.callback()
def _register() -> None:
    pass


@app.command()
def export(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Default: standard output."),
    ] = None,
    book_id: Annotated[
        str | None, typer.Option("--book", metavar="ID", help="The entries of one book alone.")
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Write the register as one JSON object, entries by their tokens, as the database takes it.

    Ends with 2 where the database does not answer; a file is there whole or not at all.
    """
    from narrator_daemon.commands import register

    settings = load_settings(config_file)
    if out is None:
        register.export(settings, sys.stdout, book_id)
        return
    count = register.export_file(settings, out, book_id)
    Console(stderr=True).print(f"{count} entries in {out}", highlight=False)

"""The command line. Each command calls one function.

Heavy libraries are imported by the commands that need them, so that ``health`` answers an exec
probe at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv

from narrator_daemon import __version__
from narrator_daemon.cli import (
    batch,
    bench,
    books,
    control,
    inspect,
    lexicon,
    local,
    model,
    queue,
    register,
    service,
    voices,
    watermarks,
)
from narrator_daemon.cli.common import CANNOT, ToldErrors, choose_database, tell

app = typer.Typer(
    cls=ToldErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Narrates the books of a Firebase catalogue.",
)
for commands in (service.app, local.app, books.app, queue.app, bench.app, inspect.app, voices.app):
    app.add_typer(commands)
app.add_typer(batch.app, name="batch")
app.add_typer(control.app, name="control")
app.add_typer(lexicon.app, name="lexicon")
app.add_typer(model.app, name="model")
app.add_typer(register.app, name="register")
app.add_typer(watermarks.app, name="watermark")
app.add_typer(watermarks.keys_app, name="keys")


def main() -> None:
    """Run the command that the process was started with."""
    try:
        # Variables that are set win over the file's.
        load_dotenv(Path(".env"))
    except (OSError, UnicodeDecodeError) as error:
        tell(f".env: cannot be read: {error}")
        raise SystemExit(CANNOT) from None
    app()


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            metavar="NAME",
            help="Which one is meant, where there are several [[firebase]].",
            show_default=False,
        ),
    ] = None,
) -> None:
    choose_database(database)

"""Many books asked for together."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings, tell
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.commands.batch import Batch

app = typer.Typer(no_args_is_help=True, help="Ask for many books together; progress, cancel.")

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def request(
    book_ids: Annotated[list[str], typer.Argument(metavar="BOOK_ID...", help="-: a line each.")],
    batch_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Of the batch. Default: a new one.")
    ] = None,
    title: Annotated[str, typer.Option(help="What it is called.")] = "",
    priority: Annotated[
        Literal["now", "normal", "bulk"], typer.Option(help="What goes first.")
    ] = "bulk",
    not_before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="None is begun before: 2026-05-31T22:00, in UTC."),
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Ask for books, also such as have a narration: exit 0, or 1 where some are not there."""
    from narrator_daemon.clock import at_time
    from narrator_daemon.commands import batch

    if book_ids == ["-"]:
        book_ids = [line.strip() for line in sys.stdin if line.strip()]
    made, missing = batch.request(
        load_settings(config_file),
        book_ids,
        batch_id=batch_id,
        title=title,
        priority=priority,
        not_before=None if not_before is None else at_time(not_before),
    )
    _print(made)
    for book_id in missing:
        tell(f"There is no book {book_id!r}.")
    raise typer.Exit(1 if missing else 0)


@app.command()
def show(
    batch_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="Default: all.")] = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Show how far a batch is, or all of them."""
    from narrator_daemon.commands import batch

    found = batch.read(load_settings(config_file), batch_id)
    if not found:
        tell("There is no batch.")
    for one in found:
        if as_json:
            print(json.dumps(one.as_record()))
        else:
            _print(one)


@app.command()
def cancel(batch_id: str, config_file: ConfigOption = None) -> None:
    """Take back what of a batch is not over. What is ready stays."""
    from narrator_daemon.commands import batch

    _print(batch.cancel(load_settings(config_file), batch_id))


def _print(one: Batch) -> None:
    counts = one.counts
    ended = ", ".join(f"{counts[name]} {name}" for name in ("ready", "failed", "cancelled"))
    if counts["requested"]:
        ended += f", {counts['requested']} to come"
    state = "open" if one.open else "over"
    told = f"{state}, cancelled" if one.cancelled else state
    title = f" ({one.title})" if one.title else ""
    print(plain(f"{one.batch_id}{title}: {told}; {ended}, of {counts['total']}"))
    if one.failed:
        print(plain(f"  failed: {', '.join(one.failed)}"))

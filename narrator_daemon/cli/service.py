"""The service itself: running it, and asking how it is."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from narrator_daemon import logs
from narrator_daemon.cli.common import (
    ConfigOption,
    EmulatedOption,
    chosen_database,
    load_settings,
    read_settings,
)
from narrator_daemon.errors import WrongUse
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.health.ask import Probe

app = typer.Typer()


@app.command()
def run(
    drain: Annotated[
        bool, typer.Option("--drain", help="End with 0 once no book is left to narrate.")
    ] = False,
    emulated: EmulatedOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Narrate requested books until told to stop (SIGTERM or Ctrl-C)."""
    from narrator_daemon.daemon import assembly
    from narrator_daemon.firebase.project import Project
    from narrator_daemon.speech import choosing

    settings = load_settings(config_file, emulated=emulated)
    with logs.captured(), ExitStack() as opened:
        worker = assembly.worker(
            settings,
            choosing.create(settings),
            [opened.enter_context(Project(one)) for one in settings.each_database],
            drain=drain,
            read=partial(read_settings, config_file, emulated=emulated),
        )
        status = worker.run()
    raise typer.Exit(status)


@app.command()
def health(
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask whether it takes books: model loaded, stream open.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask whether it works by itself, though Firebase be down."),
    ] = False,
    config_file: ConfigOption = None,
) -> None:
    """Say how the daemon of this machine is: exit 0 healthy, 1 not, 2 no daemon runs."""
    from narrator_daemon.health.ask import ask

    if ready and live:
        raise WrongUse("Ask --ready or --live, not both.")
    probe: Probe = "ready" if ready else "live" if live else "healthy"
    answer = ask(load_settings(config_file).daemon.state_dir, probe)
    print(json.dumps(answer.report))
    raise typer.Exit(answer.exit_code)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Find out what is wrong with this set-up: exit 0 nothing, 1 something."""
    from narrator_daemon.commands.doctor import Check, examine

    # What the looks say is in the report.
    logs.configure("error", "auto")
    checks: list[Check] = []
    console = Console()
    colours = {"pass": "green", "warn": "yellow", "fail": "red"}
    for check in examine(config_file, chosen_database()):
        checks.append(check)
        if not as_json:
            line = f"{check.result:4}  {check.name}: {check.note}"
            console.print(plain(line, colours[check.result]), soft_wrap=True)
    if as_json:
        print(json.dumps([asdict(check) for check in checks]))
    raise typer.Exit(1 if any(check.result == "fail" for check in checks) else 0)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, until told to stop.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=1, max=3600, metavar="SECONDS", help="Between two looks.")
    ] = 5.0,
    config_file: ConfigOption = None,
) -> None:
    """Show the whole fleet: what waits, what is in work, who works, what failed.

    Of several databases, each; exit 1 where one does not answer.
    """
    from narrator_daemon.commands import status_table
    from narrator_daemon.commands.status import Fleet, as_records, readings

    settings = load_settings(config_file)
    fleets = readings(settings, every if watch else None)
    all_answer = True
    with closing(fleets), suppress(KeyboardInterrupt):
        first = next(fleets)
        all_answer = all(isinstance(one, Fleet) for one in first.values())
        each = chain((first,), fleets)
        if as_json:
            for found in each:
                for record in as_records(found):
                    print(json.dumps(record), flush=True)
        else:
            status_table.show(each)
    raise typer.Exit(0 if all_answer else 1)

"""What an operator tells the fleet, or one worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings, tell
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.queue.control import Control, State

app = typer.Typer(
    no_args_is_help=True, help="Pause, resume or drain the fleet or a worker; how many books."
)

WorkerOption = Annotated[
    str | None,
    typer.Option("--worker", metavar="ID", help="One worker. Default: the whole fleet."),
]
WhyOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="Shown to who asks why books wait.")
]


@app.command()
def pause(
    worker: WorkerOption = None, why: WhyOption = "", config_file: ConfigOption = None
) -> None:
    """Claim nothing more until told to resume. What is in work is finished."""
    _state("paused", worker, why, config_file)


@app.command()
def drain(
    worker: WorkerOption = None, why: WhyOption = "", config_file: ConfigOption = None
) -> None:
    """Claim nothing more, finish what is in work, and end. Who is started anew stays idle."""
    _state("draining", worker, why, config_file)


@app.command()
def resume(worker: WorkerOption = None, config_file: ConfigOption = None) -> None:
    """Claim books again."""
    _state("running", worker, "", config_file)


@app.command()
def books(
    count: Annotated[
        int, typer.Argument(min=0, max=64, help="Most in work, of each worker; 0: as configured.")
    ],
    worker: WorkerOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Say how many books a worker works on at once. What is in work is finished."""
    from narrator_daemon.commands import control

    _say(worker, control.tell_books_at_once(load_settings(config_file), worker, count))


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Show what is told now."""
    from narrator_daemon.commands import control

    fleet, workers = control.told(load_settings(config_file))
    if as_json:
        records = {name: one.as_record() for name, one in workers.items()}
        print(json.dumps({"fleet": fleet.as_record(), "workers": records}))
        return
    _say(None, fleet)
    for name, one in workers.items():
        _say(name, one)


def _state(name: str, worker: str | None, why: str, config_file: ConfigOption) -> None:
    from narrator_daemon.commands import control
    from narrator_daemon.queue.control import State

    state = State(name)
    told = control.tell_state(load_settings(config_file), worker, state, why)
    _say(worker, told)
    if told.state is not state:
        tell(_still(state, told))
        raise typer.Exit(1)


def _still(asked: State, told: Control) -> str:
    of = "the whole fleet is" if told.of_fleet else "it is"
    return f"Not {asked}, as {of} {told.state}: narrator-daemon control resume."


def _say(worker: str | None, told: Control) -> None:
    what = told.told() or "claims books"
    at_once = "" if told.books_at_once is None else f"; {told.books_at_once} books at once"
    print(plain(f"{'the fleet' if worker is None else worker}: {what}{at_once}"))
    for why in told.ignored:
        tell(f"Ignored: {why}.")

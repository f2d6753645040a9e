"""How much work there is, for autoscalers."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import starmap
from typing import Annotated

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.errors import Unavailable

app = typer.Typer()


@app.command()
def queue(
    serve: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, metavar="PORT", help="Answer GET /queue there until told to stop."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    config_file: ConfigOption = None,
) -> None:
    """Count what could be claimed and what is in work, as JSON; claims and grants nothing.

    Of several databases all is added up.
    """
    from narrator_daemon.commands.demand_server import DemandServer, serve_until_told
    from narrator_daemon.firebase.project import Project
    from narrator_daemon.queue import demand
    from narrator_daemon.queue.budgets import Budgets

    settings = load_settings(config_file)
    limit = settings.limits.requests_per_minute
    with ExitStack() as opened:
        projects = {
            name: opened.enter_context(Project(one)) for name, one in settings.by_database.items()
        }

        def read_one(name: str, project: Project) -> demand.Demand:
            pace = settings.speech.seconds_per_character
            budgets = Budgets(project, lambda: settings.limits, pace)
            try:
                return demand.read(project, limit=limit, used_up=budgets.used_up)
            except Unavailable as error:
                error.where = name
                raise

        def read() -> demand.Demand:
            # One that does not answer is no empty queue.
            return demand.together(starmap(read_one, projects.items()))

        if serve is None:
            print(json.dumps(read().as_record()))
        else:
            serve_until_told(DemandServer(read, host, serve))

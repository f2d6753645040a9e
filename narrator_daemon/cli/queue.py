"""How much work there is, for autoscalers."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from narrator_daemon.cli.common import ConfigOption, fail, load_settings
from narrator_daemon.config import ConfigError

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
    """Count what could be claimed and what is in work, as JSON; claims and grants nothing."""
    from narrator_daemon.claims.claims import now_ms
    from narrator_daemon.commands.demand_server import DemandServer, serve_until_told
    from narrator_daemon.firebase.project import Project, Unavailable
    from narrator_daemon.queue import demand

    settings = load_settings(config_file)
    limit = settings.limits.requests_per_minute
    try:
        project = Project(settings)
        try:
            if serve is None:
                print(json.dumps(demand.read(project, limit=limit, now_ms=now_ms()).as_record()))
            else:
                serve_until_told(
                    DemandServer(
                        lambda: demand.read(project, limit=limit, now_ms=now_ms()), host, serve
                    )
                )
        finally:
            project.close()
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None

"""The speech model on this disk."""

from __future__ import annotations

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.libraries import importing

app = typer.Typer(help="The speech model.", no_args_is_help=True)


@app.callback()
def _model() -> None:
    """The speech model on this disk."""


@app.command()
def fetch(config_file: ConfigOption = None) -> None:
    """Bring the model that is configured onto this disk, so that no start waits for it."""
    settings = load_settings(config_file)
    with importing("model fetch"):
        from narrator_daemon.commands import model

        folder = model.fetch(settings)
    print(f"{settings.speech.model} is whole, in {folder}")
    if settings.speech.revision is None and folder.parent.name == "snapshots":
        print(f'To read with this one for ever: [speech] revision = "{folder.name}"')

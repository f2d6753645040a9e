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
    section = "kokoro" if settings.speech.engine == "kokoro" else "speech"
    chosen = settings.kokoro if section == "kokoro" else settings.speech
    print(f"{chosen.model} is whole, in {folder}")
    if chosen.revision is None and folder.parent.name == "snapshots":
        print(f'To read with this one for ever: [{section}] revision = "{folder.name}"')

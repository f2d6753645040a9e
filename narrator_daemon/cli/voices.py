"""The voices that a book can be read in."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.libraries import importing

app = typer.Typer()


@app.command()
def voices(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """List the voices that books can ask for, and what each is made from."""
    settings = load_settings(config_file)
    with importing("voices"):
        from narrator_daemon.commands.voices import listed

        found = listed(settings)
    if as_json:
        print(json.dumps(found))
        return
    default = settings.voice.default
    for name, made_from in found.items():
        print(f"{name}  {made_from}{'  (default)' if name == default else ''}")
    if not found:
        print(f"The engine {settings.speech.engine} has one voice: none is set up by name.")

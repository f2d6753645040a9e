"""What the commands share: finding the settings, and saying that something cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from narrator_daemon import config, logs
from narrator_daemon.config import ConfigError
from narrator_daemon.settings import Settings
from narrator_daemon.terminal import plain

#: Exit status for a command that cannot be carried out as asked: configuration, input, set-up.
CANNOT = 2

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration; default: config.toml here, if there is one.",
        show_default=False,
    ),
]


def fail(message: str) -> typer.Exit:
    """Say in red what is wrong; the caller raises what this returns."""
    Console(stderr=True).print(plain(logs.redact(message), "red"), soft_wrap=True)
    return typer.Exit(CANNOT)


def load_settings(path: Path | None) -> Settings:
    """Read the settings and set the log up by them; end the command where they are wrong."""
    try:
        settings = config.load(path)
    except ConfigError as error:
        raise fail(str(error)) from None
    logs.configure(settings.logging.level, settings.logging.format)
    return settings

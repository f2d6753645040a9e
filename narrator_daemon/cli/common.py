"""What the commands share: finding the settings, and the one place where errors are told."""

from __future__ import annotations

import errno
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from narrator_daemon import config, logs
from narrator_daemon.errors import NarratorError
from narrator_daemon.settings import Settings
from narrator_daemon.terminal import plain

#: The name that ``--database`` has, in front of all commands.
DATABASE: ContextVar[str | None] = ContextVar("database", default=None)

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


class ToldErrors(TyperGroup):
    """Commands whose errors people are told in a line, in place of a traceback.

    Of the operating system's errors these are the ones about files: whoever runs a command names
    them, so what is wrong with them is for that person to mend.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except NarratorError as error:
            tell(str(error))
        except OSError as error:
            # A pipe that nobody reads any more is the caller's wish; without a number it is no
            # error of a file.
            if error.errno is None or error.errno == errno.EPIPE:
                raise
            tell(f"{error.filename or 'files'}: {error.strerror}")
        raise typer.Exit(CANNOT)


def tell(message: str) -> None:
    """Say in red what is wrong."""
    Console(stderr=True).print(plain(logs.redact(message), "red"), soft_wrap=True)


EmulatedOption = Annotated[
    bool,
    typer.Option(
        "--emulated", help="The emulators' variables are meant, beside credentials of a project."
    ),
]


def read_settings(path: Path | None, *, emulated: bool = False) -> Settings:
    """Read the settings, of the database that ``--database`` names where it does.

    Args:
        path: as for ``config.load``.
        emulated: as for ``config.load``.

    Raises:
        ConfigError: they cannot be used.
    """
    return config.load(path, emulated=emulated, database=DATABASE.get())


def load_settings(path: Path | None, *, emulated: bool = False) -> Settings:
    """Read the settings and set the log up by them.

    Args:
        path: as for ``config.load``.
        emulated: as for ``config.load``.

    Raises:
        ConfigError: they cannot be used.
    """
    settings = read_settings(path, emulated=emulated)
    logs.configure(settings.logging.level, settings.logging.format, emulated=settings.emulated)
    return settings

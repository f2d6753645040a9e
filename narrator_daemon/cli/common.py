"""What the commands share: finding the settings, and the one place where errors are told."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from narrator_daemon import config, logs
from narrator_daemon.errors import NarratorError
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


class _BeforeTheCommand:
    """The options that stand before the command, as they were given.

    They are kept here and not in the context of the command, as the daemon reads its settings again
    in whatever thread is told to.
    """

    database: str | None = None


_before_the_command = _BeforeTheCommand()


def read_settings(path: Path | None, *, emulated: bool = False) -> Settings:
    """Read the settings, of the database that ``--database`` names where it does.

    Args:
        path: as for ``config.load``.
        emulated: as for ``config.load``.

    Raises:
        ConfigError: they cannot be used.
    """
    return config.load(path, emulated=emulated, database=chosen_database())


def chosen_database() -> str | None:
    """The name that ``--database`` gives; None where it does not."""
    return _before_the_command.database


def choose_database(name: str | None) -> None:
    """Have all that this process reads of settings be of the database that ``--database`` names.

    Args:
        name: None where it is not given.
    """
    _before_the_command.database = name


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

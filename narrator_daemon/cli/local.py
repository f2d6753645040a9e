"""Work without a Firebase project: the demonstration, the local Firebase, one text file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from narrator_daemon import config
from narrator_daemon.cli.common import ConfigOption, load_settings
from narrator_daemon.errors import NotInstalled, WrongUse

app = typer.Typer()


class Format(StrEnum):
    """What ``narrate`` writes beside the WAV."""

    M4A = "m4a"
    OPUS = "opus"
    MP3 = "mp3"


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running and print the endpoints.")
    ] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Serve a page to press the buttons on, and stay up.")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the WAV files go.")] = Path(
        "demo-output"
    ),
) -> None:
    """Do the whole job against a local Firebase: no key, no GPU, no network."""
    with _emulator_installed():
        from narrator_daemon.commands import demo as demonstration

    raise typer.Exit(demonstration.run(out, keep=keep, page=page))


@app.command()
def emulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    database_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks one.")] = 9000,
    storage_port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks one.")] = 9199,
    namespace: Annotated[
        str,
        typer.Option(help="The default database, and the project. Others are made when used."),
    ] = config.DEMO_PROJECT,
    bucket: Annotated[str, typer.Option(help="Bucket.")] = config.DEMO_BUCKET,
    rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Database rules, JSON.", show_default=False)
    ] = None,
    storage_rules: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Storage rules.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep data here over restarts.", show_default=False),
    ] = None,
    import_from: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="[NAMESPACE=]FILE",
            help="Begin with this export of a database (JSON) in place of what there is; of the "
            "default database where none is named. Can be given several times.",
            show_default=False,
        ),
    ] = None,
    export_to: Annotated[
        list[str] | None,
        typer.Option(
            "--export-on-exit",
            metavar="[NAMESPACE=]FILE",
            help="Export a database in the end. Can be given several times.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the local Firebase alone, until told to stop (SIGTERM or Ctrl-C).

    Prints one line of JSON with its endpoints when it is ready.
    """
    with _emulator_installed():
        from narrator_daemon.emulator import serve
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{2,62}", namespace):
        raise WrongUse(
            f"found {namespace!r}; letters a-z, digits and - as in a project id",
            where="--namespace",
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", bucket) or ".." in bucket:
        raise WrongUse(
            f"found {bucket!r}; letters a-z, digits, - _ and . as in a bucket name",
            where="--bucket",
        )
    if data is not None and data.exists() and not data.is_dir():
        raise WrongUse(f"{data} is no folder", where="--data")
    serve(
        host=host,
        database_port=database_port,
        storage_port=storage_port,
        namespace=namespace,
        bucket=bucket,
        rules=rules,
        storage_rules=storage_rules,
        data=data,
        import_from=import_from or (),
        export_to=export_to or (),
    )


@app.command()
def narrate(
    text_file: Annotated[Path, typer.Argument(metavar="TEXT_FILE", help="UTF-8 text.")],
    out: Annotated[Path, typer.Option(metavar="FILE.wav", help="Where the audio goes.")],
    book_id: Annotated[
        str | None,
        typer.Option(help="Identity in the watermark; default: the file's name.", metavar="ID"),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="A page to see and hear each segment with its figures.",
            show_default=False,
        ),
    ] = None,
    also: Annotated[
        list[Format] | None,
        typer.Option(
            help="Another file beside it, of the same audio. Can be given several times.",
            show_default=False,
        ),
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Read a text file aloud into a watermarked WAV, with no Firebase."""
    from narrator_daemon.commands.narrate import read_file

    book_id = book_id or text_file.stem
    read_file(load_settings(config_file), text_file, out, book_id, report, also or ())


@contextmanager
def _emulator_installed() -> Iterator[None]:
    """Around imports that need the extra ``emulator``."""
    try:
        yield
    except ImportError as error:
        raise NotInstalled(
            f"the local Firebase is not installed ({error})",
            advice="install it with: pip install 'narrator-daemon[emulator]'",
        ) from None

"""Books of the catalogue: asking again, one book's story, new URLs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from narrator_daemon.cli.common import ConfigOption, fail, load_settings
from narrator_daemon.config import ConfigError
from narrator_daemon.terminal import plain

app = typer.Typer()


@app.command()
def explain(book_id: str, config_file: ConfigOption = None) -> None:
    """Tell one book's story: exit 0 all fits, 1 something does not, 2 no such book."""
    from narrator_daemon import explain as explaining
    from narrator_daemon.project import Unavailable

    settings = load_settings(config_file)
    try:
        story = explaining.explain(settings, book_id)
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None
    if story is None:
        raise fail(f"There is no book {book_id!r}.")
    console = Console()
    for name, value in story.fields.items():
        console.print(plain(f"{name:>12}  {value}"), soft_wrap=True)
    for entry in story.attempts:
        console.print(plain(json.dumps(entry, ensure_ascii=False)), soft_wrap=True)
    for problem in story.problems:
        console.print(plain(problem, "red"), soft_wrap=True)
    raise typer.Exit(1 if story.problems else 0)


@app.command()
def retry(
    book_ids: Annotated[list[str] | None, typer.Argument(metavar="[BOOK_ID]...")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Ask for failed books again, as pressing the button would."""
    from narrator_daemon import again
    from narrator_daemon.project import Unavailable

    if bool(book_ids) == failed:
        raise fail("Name the books, or say --failed for all that have failed.")
    settings = load_settings(config_file)
    try:
        asked = again.request_failed(settings, book_ids or None)
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None
    for book_id, verdict in asked.items():
        print(plain(f"{book_id}: {verdict}"))
    raise typer.Exit(0 if all(verdict == again.ASKED for verdict in asked.values()) else 1)


@app.command()
def refresh_urls(config_file: ConfigOption = None) -> None:
    """Sign the URLs of all narrations anew, such as after the signing key was changed."""
    from narrator_daemon.project import Project, Unavailable
    from narrator_daemon.renewal import Renewer
    from narrator_daemon.storage import AudioStore

    settings = load_settings(config_file)
    try:
        project = Project(settings)
        try:
            renewed = Renewer(project, AudioStore(project, settings.storage)).round(everything=True)
        finally:
            project.close()
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None
    print(f"{renewed} URLs renewed")

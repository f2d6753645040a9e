"""Books of the catalogue: asking again, one book's story, new URLs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from narrator_daemon.cli.common import ConfigOption, fail, load_settings
from narrator_daemon.config import ConfigError
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.commands.explain import Story

app = typer.Typer()


@app.command()
def explain(
    book_id: str,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Tell one book's story: exit 0 all fits, 1 something does not, 2 no such book."""
    from narrator_daemon.commands import explain as explaining
    from narrator_daemon.firebase.project import Unavailable

    settings = load_settings(config_file)
    try:
        story = explaining.explain(settings, book_id)
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None
    if story is None:
        raise fail(f"There is no book {book_id!r}.")
    if as_json:
        print(json.dumps(story.as_record()))
    else:
        _print_story(story)
    raise typer.Exit(1 if story.problems else 0)


def _print_story(story: Story) -> None:
    from narrator_daemon.commands.explain import when

    console = Console()

    def say(text: str, style: str = "") -> None:
        console.print(plain(text, style), soft_wrap=True)

    for name, value in story.fields.items():
        say(f"{name:>12}  {value}")
    say("")
    for moment in story.timeline:
        say(f"{'?' if moment.at is None else when(moment.at):25}  {moment.what}")
    tokens = {moment.facts["token"]: None for moment in story.timeline if "token" in moment.facts}
    if tokens:
        say(f"\nIn the log: book={story.book_id} token={' or '.join(tokens)}")
    for problem in story.problems:
        say(problem, "red")


@app.command()
def retry(
    book_ids: Annotated[list[str] | None, typer.Argument(metavar="[BOOK_ID]...")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Ask for failed books again, as pressing the button would."""
    from narrator_daemon.commands.retry import ASKED, request_failed
    from narrator_daemon.firebase.project import Unavailable

    if bool(book_ids) == failed:
        raise fail("Name the books, or say --failed for all that have failed.")
    settings = load_settings(config_file)
    try:
        asked = request_failed(settings, book_ids or None)
    except (ConfigError, Unavailable) as error:
        raise fail(str(error)) from None
    for book_id, verdict in asked.items():
        print(plain(f"{book_id}: {verdict}"))
    raise typer.Exit(0 if all(verdict == ASKED for verdict in asked.values()) else 1)


@app.command()
def refresh_urls(config_file: ConfigOption = None) -> None:
    """Sign the URLs of all narrations anew, such as after the signing key was changed."""
    from narrator_daemon.firebase.project import Project, Unavailable
    from narrator_daemon.firebase.storage import AudioStore
    from narrator_daemon.housekeeping.renewal import Renewer

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

"""Books of the catalogue: asking again, one book's story, new URLs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.cli.common import ConfigOption, load_settings, tell
from narrator_daemon.errors import WrongUse
from narrator_daemon.terminal import plain

if TYPE_CHECKING:
    from narrator_daemon.commands.explain import Story
    from narrator_daemon.commands.failures import Filter
    from narrator_daemon.firebase.project import Project

app = typer.Typer()


@app.command()
def explain(
    book_id: str,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """Tell one book's story: exit 0 all fits, 1 something does not, 2 no such book."""
    from narrator_daemon.commands import explain as explaining

    story = explaining.explain(load_settings(config_file), book_id)
    if as_json:
        print(json.dumps(story.as_record()))
    else:
        _print_story(story)
    raise typer.Exit(1 if story.problems else 0)


def _print_story(story: Story) -> None:
    from narrator_daemon.clock import in_utc
    from narrator_daemon.queue.reasons import WORDS

    console = Console()

    def say(text: str, style: str = "") -> None:
        console.print(plain(text, style), soft_wrap=True)

    for name, value in story.fields.items():
        say(f"{name:>12}  {value}")
    say("")
    for moment in story.timeline:
        say(f"{'?' if moment.at is None else in_utc(moment.at):25}  {moment.what}")
    if story.waits is not None:
        until = "" if story.waits.until is None else f", until {in_utc(story.waits.until)}"
        say(f"\nIt waits {WORDS[story.waits.reason]}{until}.")
    tokens = {moment.facts["token"]: None for moment in story.timeline if "token" in moment.facts}
    if tokens:
        say(f"\nIn the log: book={story.book_id} token={' or '.join(tokens)}")
    for problem in story.problems:
        say(problem, "red")


CodeOption = Annotated[
    list[ErrorCode] | None,
    typer.Option("--code", help="Those that failed with it. Can be given several times."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Those that failed since: 2h, 7d, 2026-05-31, with T18:00."),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Those that failed before it.")
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="UID", help="Those that this user asked for.")
]


def _filter(
    project: Project,
    codes: list[ErrorCode] | None,
    since: str | None,
    until: str | None,
    by: str | None,
) -> Filter:
    from narrator_daemon.commands.failures import Filter, now_of, time_of

    told = [one for one in (since, until) if one is not None]
    for one in told:
        time_of(one, 0)  # wrong use is told before anything is asked
    now = now_of(project) if told else 0
    return Filter(
        frozenset(map(str, codes or ())),
        None if since is None else time_of(since, now),
        None if until is None else time_of(until, now),
        by,
    )


@app.command()
def failed(
    code: CodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    by: ByOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config_file: ConfigOption = None,
) -> None:
    """List the books that have failed, the latest first."""
    from narrator_daemon.commands import failures, status_table
    from narrator_daemon.firebase.project import Project

    with Project(load_settings(config_file)) as project:
        found = failures.find(project, _filter(project, code, since, until, by))
    if as_json:
        for one in found.failed:
            print(json.dumps(one.as_record()))
    else:
        Console().print(status_table.failed_books(found.failed))
    if found.more:
        tell(f"Only the first {failures.MOST_READ} failed books by their ids were looked at.")


@app.command()
def retry(
    book_ids: Annotated[list[str] | None, typer.Argument(metavar="[BOOK_ID]...")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that have failed.")] = False,
    code: CodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    by: ByOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Ask for failed books again, as pressing the button would: by their ids, or all that fit."""
    from narrator_daemon.commands.retry import ASKED, request_failed, request_named
    from narrator_daemon.firebase.project import Project

    filtered = bool(code) or any(one is not None for one in (since, until, by))
    if bool(book_ids) == (failed or filtered):
        raise WrongUse(
            "Name the books, or say which with --code, --since, --until and --by, or --failed for "
            "all that have failed."
        )
    with Project(load_settings(config_file)) as project:
        if book_ids:
            asked = request_named(project, book_ids)
        else:
            asked = request_failed(project, _filter(project, code, since, until, by))
    if not asked:
        tell("No book has failed that fits.")
    for book_id, verdict in asked.items():
        print(plain(f"{book_id}: {verdict}"))
    raise typer.Exit(0 if all(verdict == ASKED for verdict in asked.values()) else 1)


@app.command()
def retake(
    book_id: str,
    segment: Annotated[
        list[int],
        typer.Option(min=1, help="A segment's number, from 1. Can be given several times."),
    ],
    config_file: ConfigOption = None,
) -> None:
    """Have some segments of a finished narration read anew; all others stay as they are."""
    from narrator_daemon.commands.retake import request

    request(load_settings(config_file), book_id, segment)
    told = ", ".join(map(str, sorted(set(segment))))
    print(plain(f"{book_id}: requested, segment {told} anew"))


@app.command()
def refresh_urls(config_file: ConfigOption = None) -> None:
    """Sign the URLs of all narrations anew, such as after the signing key was changed."""
    from narrator_daemon.firebase.project import Project
    from narrator_daemon.firebase.storage import AudioStore
    from narrator_daemon.housekeeping.renewal import Renewer

    settings = load_settings(config_file)
    with Project(settings) as project:
        renewer = Renewer(project, AudioStore(project, settings.storage))
        renewed = renewer.round(everything=True)
    print(f"{renewed} URLs renewed")
    if renewer.failures:
        # Which, and why, was logged of each.
        tell(f"{renewer.failures} could not be.")
        raise typer.Exit(1)

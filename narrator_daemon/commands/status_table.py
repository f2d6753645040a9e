"""The fleet's status as people read it on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text, TextType

from narrator_daemon import logs
from narrator_daemon.clock import in_utc
from narrator_daemon.commands.failures import Failed
from narrator_daemon.commands.status import Fleet, Readings
from narrator_daemon.errors import Unavailable
from narrator_daemon.queue.reasons import WORDS, Reason
from narrator_daemon.terminal import plain

#: Codes that are counted above a list of failed books; there are sixteen.
_MOST_CODES = 16


def render(fleet: Fleet) -> RenderableType:
    """The queue in a line, and a table each for books in work, workers and failures."""
    return Group(
        *_told(fleet),
        _queue(fleet),
        _in_work(fleet),
        _workers(fleet),
        *_troubles(fleet),
        _failures(fleet),
    )


def render_each(found: Readings) -> RenderableType:
    """The same of each database, under its name where there are several."""
    parts: list[RenderableType] = []
    for name, one in found.items():
        if parts:
            parts.append(Text())
        if isinstance(one, Unavailable):
            parts.append(plain(f"Database {name}: {logs.redact(str(one))}", "red"))
            continue
        if name:
            parts.append(plain(f"Database {name}", "bold"))
        parts.append(render(one))
    return Group(*parts)


def show(each: Iterable[Readings]) -> None:
    """Show readings of the fleets as they come, each in the place of the one before."""
    with Live(console=Console(), auto_refresh=False, vertical_overflow="visible") as live:
        for found in each:
            live.update(render_each(found), refresh=True)


def span(seconds: float | None) -> str:
    """A length of time at a glance: ``8 s``, ``3 min``, ``2 h 5 min``, ``4 d 3 h``."""
    if seconds is None:
        return "?"
    minutes = int(seconds // 60)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if minutes < 120:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def _told(fleet: Fleet) -> list[Text]:
    """What an operator tells all workers."""
    control = fleet.control
    lines = [plain(f"Ignored: {why}", "red") for why in control.ignored]
    if control.holds:
        since = "" if control.at is None else f", since {in_utc(control.at)}"
        lines.append(plain(f"The fleet is {control.told()}{since}", "yellow"))
    if control.books_at_once is not None:
        lines.append(plain(f"Books at once, by an operator: {control.books_at_once}", "yellow"))
    return lines


def _queue(fleet: Fleet) -> Text:
    queue = fleet.queue
    if not queue.depth:
        waiting = "Nothing waits"
    else:
        count = f"{queue.depth} or more" if queue.more else f"{queue.depth}"
        oldest = (
            "" if queue.oldest_seconds is None else f", the oldest {span(queue.oldest_seconds)}"
        )
        waiting = f"{count} waiting{oldest}"
    rates = f"{fleet.books_per_hour:.1f} books an hour, {fleet.audio_rate:.1f} s of audio a second"
    first = "emulated: a local Firebase\n" if fleet.emulated else ""
    return Text("\n".join([f"{first}{waiting}; {rates}", *_reasons(fleet)]))


def _reasons(fleet: Fleet) -> list[str]:
    """A line for each thing that books wait for."""
    nobody = not any(worker.alive for worker in fleet.workers)
    lines = []
    for reason in Reason:
        if count := fleet.queue.reasons.get(reason):
            words = "as no worker runs" if nobody and reason is Reason.NO_ROOM else WORDS[reason]
            lines.append(f"  {count} {words}")
    return lines


def _troubles(fleet: Fleet) -> list[Text]:
    """What keeps workers from claiming, and books from being claimed."""
    return [
        plain(f"{one.worker_id} claims nothing: {name}: {why}", "red")
        for one in fleet.workers
        if one.alive
        for name, why in one.down.items()
    ] + [
        plain(f"{one.worker_id} cannot change {book_id}: {why}", "red")
        for one in fleet.workers
        if one.alive
        for book_id, why in one.refused.items()
    ]


def _table(title: TextType, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", expand=False)
    for heading in headings:
        # What is copied from it into a command stays in one piece.
        table.add_column(heading, overflow="fold", no_wrap=heading == "Code")
    return table


def _in_work(fleet: Fleet) -> RenderableType:
    if not fleet.in_work:
        return Text("No book is in work.")
    table = _table("In work", "Book", "Progress", "Worker", "Attempt", "For")
    for one in fleet.in_work:
        table.add_row(
            plain(one.book_id),
            "" if one.progress is None else f"{one.progress:.0%}",
            plain(one.owner or "nobody"),
            "" if one.attempt is None else str(one.attempt),
            span(one.seconds),
        )
    return table


def _workers(fleet: Fleet) -> RenderableType:
    if not fleet.workers:
        return Text("No worker has been seen for a day.", style="yellow")
    headings = ("Worker", "Last beat", "Version", "Reads", "Books", "Books/h", "Failed/h", "Audio")
    table = _table("Workers", *headings)
    for one in fleet.workers:
        table.add_row(
            plain(one.worker_id),
            Text(span(one.beat_seconds), style="" if one.alive else "red"),
            plain(one.version),
            plain(f"{one.engine} on {one.device}"),
            plain(f"{one.in_work} of {one.at_once}{one.control and f', {one.control}'}"),
            f"{one.books_per_hour:.1f}",
            f"{one.failed_per_hour:.1f}",
            f"{one.audio_rate:.2f} s/s",
        )
    return table


def _failures(fleet: Fleet) -> RenderableType:
    if not fleet.failures:
        return Text("No book has failed.")
    title = "Latest failures" + (" among those looked at" if fleet.more_failures else "")
    table = _table(title, "Book", "Code", "Message", "Attempts", "Ago")
    for one in fleet.failures:
        table.add_row(
            plain(one.book_id),
            plain(one.code),
            plain(one.message),
            "" if one.attempts is None else str(one.attempts),
            span(one.seconds),
        )
    return table


def failed_books(failed: Sequence[Failed]) -> RenderableType:
    """A table of failed books, with when and for whom."""
    if not failed:
        return Text("No book has failed that fits.")
    counts = Counter(one.code for one in failed)
    told = ", ".join(f"{count} {code or '?'}" for code, count in counts.most_common(_MOST_CODES))
    table = _table(
        plain(f"{len(failed)} failed: {told}"),
        "Book",
        "Code",
        "Message",
        "Attempts",
        "When",
        "Requested by",
    )
    for one in failed:
        table.add_row(
            plain(one.book_id),
            plain(one.code),
            plain(one.message),
            "" if one.attempts is None else str(one.attempts),
            "?" if one.at is None else in_utc(one.at),
            plain(one.requested_by or ""),
        )
    return table

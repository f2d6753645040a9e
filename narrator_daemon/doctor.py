"""What is wrong with this set-up: every check, its result, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from narrator_daemon import book as books
from narrator_daemon import explain, keys, speech
from narrator_daemon.config import ConfigError
from narrator_daemon.project import LEASES, Project, Unavailable, children, database_errors
from narrator_daemon.settings import Settings
from narrator_daemon.storage import AudioStore

#: Ready books whose audio is looked for.
_READY_BOOKS = 50


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report.

    Attributes:
        name: what was looked at.
        result: ``pass``, ``warn`` or ``fail``.
        note: what was found and, unless it passed, what to do. Never a secret.
    """

    name: str
    result: Literal["pass", "warn", "fail"]
    note: str


def examine(settings: Settings) -> Iterator[Check]:
    """Check key, engine, database, storage and the audio of ready books, each as it is done."""
    yield _check("watermark key", lambda: _key(settings))
    yield _check("speech", lambda: _engine(settings))
    try:
        project = Project(settings)
    except ConfigError as error:
        yield Check("project", "fail", str(error))
        return
    try:
        store = AudioStore(project, settings.storage)
        yield _check("database", lambda: _database(project))
        yield _check("bucket", lambda: _bucket(project, store))
        yield from _ready_books(project, store)
    finally:
        project.close()


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "pass", look())
    except (ConfigError, Unavailable, speech.SpeechError) as error:
        return Check(name, "fail", str(error))


def _key(settings: Settings) -> str:
    public = keys.require(settings) == keys.DEMO_KEY
    return "the public one, as this is an emulator" if public else "one of your own"


def _engine(settings: Settings) -> str:
    engine = speech.create(settings)
    try:
        engine.load()
        return f"{engine.name} on {engine.device}"
    finally:
        engine.close()


def _database(project: Project) -> str:
    with database_errors(project.books_path):
        by_status = project.books().order_by_child(books.STATUS)
        by_status.equal_to(books.REQUESTED).limit_to_first(1).get()
        by_expiry = project.books().order_by_child(books.URL_EXPIRES_AT)
        by_expiry.start_at(1).limit_to_first(1).get()
        project.reference(LEASES).get(shallow=True)
    return f"{project.books_path} answers, with its indices"


def _bucket(project: Project, store: AudioStore) -> str:
    store.check()
    return f"{project.bucket_name} takes objects, and their URLs can be signed"


def _ready_books(project: Project, store: AudioStore) -> Iterator[Check]:
    name = "audio of ready books"
    try:
        with database_errors(project.books_path):
            by_status = project.books().order_by_child(books.STATUS)
            ready = children(by_status.equal_to(books.READY).limit_to_last(_READY_BOOKS).get())
        found = {
            book_id: explain.find_problems(record, set(), store)
            for book_id, record in ready.items()
            if isinstance(record, dict)
        }
    except Unavailable as error:
        yield Check(name, "fail", str(error))
        return
    odd = {book_id: problems for book_id, problems in found.items() if problems}
    for book_id, problems in odd.items():
        yield Check(f"book {book_id}", "warn", "; ".join(problems))
    if not odd:
        yield Check(name, "pass", f"{len(found)} looked at, all there")

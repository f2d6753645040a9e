"""What the Firebase project must have: credentials, database and its rules, bucket and URLs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

import firebase_admin
import google.auth.exceptions
import google.auth.transport.requests
import requests
from firebase_admin import db, exceptions

from narrator_daemon.catalogue import LEASES, READY, REGISTER, URL, WORKERS
from narrator_daemon.commands import explain
from narrator_daemon.commands.doctor.check import Check, Found, check, failed, passed, warned
from narrator_daemon.commands.doctor.machine import open_to_others
from narrator_daemon.errors import ConfigError, Refused, Unavailable
from narrator_daemon.firebase import books, register
from narrator_daemon.firebase.answers import database_errors, in_few_words
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.settings import Settings

#: Ready books whose audio is looked for.
_READY_BOOKS = 50

#: Seconds between the clocks that are worth a word, and that do harm. Waits and URLs go by the
#: services' clocks; logs go by this machine's, and so do tokens, which are refused when it is off.
_CLOCK_WARN, _CLOCK_FAIL = 5.0, 60.0

_NEED_A_PROJECT = (
    "database",
    "rules",
    "register",
    "clock",
    "bucket",
    "URLs",
    "audio of ready books",
)

#: Characters of an error that are shown.
_LONGEST = 300

#: Who a client may be that no rule knows: nobody, and somebody who is signed in.
_CLIENTS = (("anyone, not signed in,", None), ("any signed-in user", {"uid": "narrator-doctor"}))


def examine(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Check]:
    """Credentials, database, rules, clock, bucket, URLs, and the audio of ready books.

    Args:
        settings: the project.
        clock: the wall clock, epoch seconds.
    """
    opened: list[Project] = []

    def credentials() -> Found:
        project = Project(settings)
        opened.append(project)
        return _credentials(settings, project)

    seen = check("credentials", credentials)
    yield seen
    if not opened or seen.result == "fail":
        for name in _NEED_A_PROJECT:
            yield _left_out(name, "credentials")
        return
    with opened[0] as project:
        store = AudioStore(project, settings.storage)
        silent: set[str] = set()

        def look(name: str, call: Callable[[], Found], *needs: str) -> Check:
            """A check, left out where what it needs has not answered at all: it was said."""
            for need in needs:
                if need in silent:
                    return _left_out(name, need)

            def noted() -> Found:
                try:
                    return call()
                except Unavailable as error:
                    # One that refuses has answered, and may answer others.
                    if not isinstance(error, Refused):
                        silent.add(name)
                    raise

            return check(name, noted)

        yield look("database", lambda: _database(project))
        yield look("rules", lambda: _rules(project), "database")
        yield look("register", lambda: _register(project), "database")
        yield look("clock", lambda: _clock(project, clock), "database")
        yield look("bucket", lambda: _bucket(project, store))
        yield look("URLs", lambda: _urls(settings, store), "bucket")
        odd: dict[str, list[str]] = {}
        yield look(
            "audio of ready books",
            lambda: _ready_books(project, store, odd),
            "database",
            "bucket",
        )
        for book_id, problems in odd.items():
            yield Check(f"book {book_id}", "warn", "; ".join(problems))


def _left_out(name: str, need: str) -> Check:
    """A check that would only say again what another has said."""
    return Check(name, "fail", f"not looked at: mend the {need} first")


def _credentials(settings: Settings, project: Project) -> Found:
    if settings.emulated:
        return passed("none are needed: this is an emulator")
    path = settings.firebase.credentials
    credentials = project.credentials
    # Known without a network, and said before it is needed.
    owner = None if path is None else _owner(path)
    strange = owner not in (None, settings.firebase.project_id)
    foreign = (
        f"{path} belongs to the project {owner}, and firebase.project_id is "
        f"{settings.firebase.project_id}"
    )
    try:
        credentials.refresh(google.auth.transport.requests.Request())
    except google.auth.exceptions.GoogleAuthError as error:
        begun = f"{foreign}; and no" if strange else "no"
        raise ConfigError(
            f"{begun} access token can be had ({in_few_words(error)[:_LONGEST]}): check the "
            "network, that the service account exists, and that its key was not deleted"
        ) from None
    who = getattr(credentials, "service_account_email", None) or "a person's login"
    shown = f"{who}, {'ambient' if path is None else f'from {path}'}"
    if path is None:
        return passed(shown)
    if note := open_to_others(path):
        return warned(f"{shown}, but {note}")
    return warned(f"{shown}: {foreign}") if strange else passed(shown)


def _owner(path: Path) -> str | None:
    """The project that a key file says it belongs to."""
    found = json.loads(path.read_text(encoding="utf-8"))
    owner = found.get("project_id")
    return str(owner) if owner else None


def _database(project: Project) -> Found:
    books.check_indices(project)
    with database_errors():
        project.node(LEASES).get(shallow=True)
    return passed(f"{project.books_path} answers, with its indices")


def _rules(project: Project) -> Found:
    """Try to write as a client what only the daemon may write, where no book and no worker is."""
    name = f"narrator-doctor-{uuid4().hex}"
    book = f"{project.books_path}/{name}/{URL}"
    places = {f"/{WORKERS}/{name}/at": 0, book: "https://example.com"}
    wrote = [
        f"{who} may write {path.rpartition('/')[0] if WORKERS in path else URL}"
        for who, identity in _CLIENTS
        for path, value in places.items()
        if _can_write(project, identity, path, value)
    ]
    if wrote:
        return failed(
            f"{'; '.join(wrote)}: clients could claim books and change what plays. Deploy rules "
            "that close the daemon's fields and nodes, as in deploy/firebase"
        )
    return passed(
        f"clients, signed in or not, are refused /{WORKERS} and a book's {URL} (tried with "
        "names that nobody has)"
    )


def _register(project: Project) -> Found:
    try:
        register.pending(project, 1)
    except Refused as error:
        return warned(
            f"{error.what}: narrations are published, and {project.node_path(REGISTER)} does not "
            "tell of them. Deploy the rules of deploy/firebase"
        )
    return passed(f"{project.node_path(REGISTER)} answers, with its index")


def _can_write(project: Project, identity: dict[str, str] | None, path: str, value: object) -> bool:
    """Whether a client's write is taken; if so, it is undone."""
    options = {
        "databaseURL": project.app.options.get("databaseURL"),
        "databaseAuthVariableOverride": identity,
        "httpTimeout": 10.0,
    }
    client = firebase_admin.initialize_app(
        project.app.credential, options, name=f"doctor-{uuid4().hex}"
    )
    try:
        reference = db.reference(path, app=client)
        with database_errors():
            try:
                reference.set(value)
            except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError):
                return False
            # Not as the client: rules may let it write what they don't let it delete.
            project.reference(*path.strip("/").split("/")).delete()
        return True
    finally:
        firebase_admin.delete_app(client)


def _clock(project: Project, clock: Callable[[], float]) -> Found:
    url, parameters, headers = project.stream_request()
    first = {**parameters, "orderBy": '"$key"', "limitToFirst": "1"}
    asked_at = clock()
    try:
        answer = requests.get(url, params=first, headers=headers, timeout=10)
    except requests.RequestException as error:
        raise Unavailable(
            "database", f"the database does not answer: {in_few_words(error)}"
        ) from error
    here = (asked_at + clock()) / 2
    try:
        # The header has whole seconds.
        there = parsedate_to_datetime(answer.headers["Date"]).timestamp() + 0.5
    except (KeyError, ValueError):
        return warned("the database's answer does not say what time it is")
    off = here - there
    shown = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the database's"
    advice = "set it by the network's time (timedatectl set-ntp true)"
    if abs(off) >= _CLOCK_FAIL:
        return failed(f"this machine's clock is {shown}: {advice}")
    if abs(off) >= _CLOCK_WARN:
        return warned(f"this machine's clock is {shown}: {advice}")
    return passed("agrees with the database's")


def _bucket(project: Project, store: AudioStore) -> Found:
    store.check()
    return passed(f"{project.bucket_name} takes objects and lets them be deleted")


def _urls(settings: Settings, store: AudioStore) -> Found:
    """Upload as a narration is uploaded, play it by its URL, delete it."""
    path = store.path("narrator-doctor", uuid4().hex)
    stored = store.upload(path, io.BytesIO(), 0, book_id="narrator-doctor")
    try:
        answer = requests.get(stored.url, timeout=10)
    except requests.RequestException as error:
        # The message would quote the URL.
        return failed(f"a URL that was made cannot be reached ({type(error).__name__})")
    finally:
        store.delete(path)
    kind = settings.storage.url
    if answer.status_code != 200:
        return failed(f"a {kind} URL answers {answer.status_code}: {_URL_ADVICE[kind]}")
    if kind == "signed":
        return passed(f"signed URLs play, for {store.signed_seconds / 3600:g} h")
    return passed(f"{kind} URLs play")


_URL_ADVICE = {
    "signed": "let the signing service account read the bucket's objects",
    "download-token": "add Firebase to the bucket in the console's Storage page",
    "public": "give allUsers the role 'Storage Object Viewer' on the bucket, or use signed URLs",
}


def _ready_books(project: Project, store: AudioStore, odd: dict[str, list[str]]) -> Found:
    ready = books.with_status(project, READY, _READY_BOOKS, last=True)
    for book_id, record in ready.items():
        if isinstance(record, dict) and (problems := explain.find_problems(record, set(), store)):
            odd[book_id] = problems
    if odd:
        return warned(f"{len(odd)} of {len(ready)} looked at are not all there")
    return passed(f"{len(ready)} looked at, all there")

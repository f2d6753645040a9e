"""The whole job against the local Firebase, seen from a frontend.

Starts the local Firebase, puts example books into it, presses the button on each, runs the real
daemon as a process of its own, watches the fields of the contract, downloads what becomes ready
through the URL it finds in the database, and looks for its watermark.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import firebase_admin
import requests
from firebase_admin import db
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from narrator_daemon import catalogue as fields
from narrator_daemon.config import (
    DEMO_BUCKET,
    DEMO_PROJECT,
    ENV_PREFIX,
    KNOWN_NAMES,
    WATERMARK_KEY_ENV,
)
from narrator_daemon.direct import without_proxy
from narrator_daemon.emulator import Endpoints, LocalFirebase
from narrator_daemon.errors import DemoError
from narrator_daemon.firebase.object_names import slug
from narrator_daemon.marks import keys, ledger
from narrator_daemon.marks.allotment import FIRST_LOCAL
from narrator_daemon.marks.detect import Search
from narrator_daemon.terminal import plain

#: The book that has nothing to read, and how it must end.
BAD_BOOK = "blank-pages"

_LOOK_SECONDS = 0.25
#: Seconds in which nothing at all may happen before the demo gives up.
_PATIENCE_SECONDS = 300.0


@dataclass
class Shown:
    """One book as the demo sees it."""

    book_id: str
    title: str
    status: str = "waiting"
    progress: float = 0.0
    audio_seconds: float | None = None
    seconds: float | None = None
    file: Path | None = None
    beside: list[Path] = field(default_factory=list)
    watermark: str = ""
    note: str = ""
    right: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.seconds is not None


def example_books() -> dict[str, dict[str, Any]]:
    """The example books, by id: title, author, source, narrative.

    Raises:
        DemoError: they are not installed.
    """
    name = Path("examples") / "books.json"
    places = [
        Path(__file__).parents[2] / name,
        Path(sysconfig.get_path("data")) / "share" / "narrator-daemon" / name,
    ]
    for place in places:
        if place.is_file():
            books: dict[str, dict[str, Any]] = json.loads(place.read_text(encoding="utf-8"))
            return books
    raise DemoError(f"the example books are not installed; looked for {places[0]}")


def run(out: Path, *, keep: bool, page: bool) -> int:
    """Run the demo. Returns 0 if every book ended as it should, else 1.

    Args:
        out: where the WAV files go; created.
        keep: whether everything stays up afterwards, until a signal.
        page: whether to leave the books to whoever opens the demo page, until a signal.

    Raises:
        DemoError: it cannot be run here.
        EmulatorError: the local Firebase cannot start.
    """
    from narrator_daemon.emulator import page_files

    if page and not page_files.is_built():
        raise DemoError("the demo page is not built: run `make page`, or install the package")
    # What the demo starts is here, and not behind a proxy.
    os.environ.update(without_proxy(os.environ))
    # As Ctrl-C does, so that what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(out, keep, page)
    except OSError as error:
        raise DemoError(f"cannot be written: {error.strerror or error}", where=str(out)) from None


def _run(out: Path, keep: bool, page: bool) -> int:
    console = Console()
    if not console.is_terminal:
        console.width = 140  # nobody folds what goes into a file
    out.mkdir(parents=True, exist_ok=True)
    books = example_books()
    with (
        LocalFirebase(namespace=DEMO_PROJECT, bucket=DEMO_BUCKET) as firebase,
        _daemon(firebase.environment(), out) as daemon,
        _frontend(firebase.endpoints) as app,
    ):
        endpoints = firebase.endpoints
        console.print(f"Local Firebase at {endpoints['database_url']}, {len(books)} books")
        shelf = db.reference("books", app=app)
        # Files here may be marked already: no index of theirs is given to another book.
        earlier = ledger.read_marks(out)
        by_book = {book_id: index for index, book_id in earlier.items() if fields.is_key(book_id)}
        firebase.load(fields.MARKS, by_book or None)
        below = [index for index in earlier if index < FIRST_LOCAL]
        firebase.load(fields.NEXT_MARK, max(below) + 1 if below else None)
        for book_id, book in books.items():
            shelf.child(book_id).set(book)
        if page:
            console.print(f"Open {firebase.page_url} in a browser of this machine.")
            _keep(console, endpoints, daemon)
            return 0
        shown = [Shown(book_id, book["title"]) for book_id, book in books.items()]
        pressed_at = time.monotonic()
        # The shortest first, so that there is something to hear at once.
        for one in sorted(shown, key=lambda one: len(books[one.book_id]["narrative"])):
            request(shelf, one.book_id)
        _watch(shelf, shown, pressed_at, out, daemon, console)
        known = _marks(app)
        ledger.write_marks(out, earlier | known)
        _check_watermarks(shown, known)
        console.print(_result(shown))
        right = all(one.right for one in shown)
        if keep:
            _keep(console, endpoints, daemon)
    if not right:
        log = out / "daemon.log"
        console.print(plain(f"Not every book ended as it should; see {log}", "red"))
    return 0 if right else 1


def request(shelf: Any, book_id: str) -> None:
    """Press "Generate Narrative": what a frontend writes, and all that it writes."""
    shelf.child(book_id).update(
        {
            fields.STATUS: fields.REQUESTED,
            fields.REQUESTED_AT: {".sv": "timestamp"},
            fields.REQUESTED_BY: "demo-admin",
        }
    )


@contextmanager
def _frontend(endpoints: Endpoints) -> Iterator[Any]:
    app = firebase_admin.initialize_app(
        options={"databaseURL": endpoints["database_url"], "projectId": DEMO_PROJECT},
        name="demo-frontend",
    )
    try:
        yield app
    finally:
        firebase_admin.delete_app(app)


@contextmanager
def _daemon(environment: Mapping[str, str], out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon, with the preview voice unless the environment names another engine.

    No other setting of whoever runs the demo is for its daemon: no configuration file, and of the
    environment what concerns speech alone.
    """
    ours = ("NARRATOR_SPEECH__", "NARRATOR_VOICE__", "NARRATOR_KOKORO__")
    foreign = {*KNOWN_NAMES, WATERMARK_KEY_ENV}
    variables = {
        "NARRATOR_SPEECH__ENGINE": "piper",
        **{
            name: value
            for name, value in os.environ.items()
            if name.startswith(ours) or not (name.startswith(ENV_PREFIX) or name in foreign)
        },
        **environment,
        "NARRATOR_DAEMON__STATE_DIR": str(out.resolve() / ".state"),
    }
    log_path = out / "daemon.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "narrator_daemon", "run"],
            env=variables,
            stdout=log,
            stderr=log,
            cwd=out,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _watch(
    shelf: Any,
    shown: list[Shown],
    pressed_at: float,
    out: Path,
    daemon: subprocess.Popen[bytes],
    console: Console,
) -> None:
    """Show what becomes of the books until each is over."""
    changed_at = time.monotonic()
    on_terminal = console.is_terminal
    with Live(_progress(shown), console=console, transient=True, auto_refresh=False) as live:
        while not all(one.over for one in shown):
            time.sleep(_LOOK_SECONDS)
            if daemon.poll() is not None:
                raise DemoError("the daemon ended by itself", advice=f"see {out / 'daemon.log'}")
            catalogue = shelf.get() or {}
            for one in shown:
                before = one.status, one.progress
                if not one.over:
                    _look(one, catalogue.get(one.book_id) or {}, pressed_at, out)
                if (one.status, one.progress) != before:
                    changed_at = time.monotonic()
                    if not on_terminal and one.status != before[0]:
                        console.print(plain(f"{one.book_id}: {one.status}"))
            if time.monotonic() - changed_at > _PATIENCE_SECONDS:
                raise DemoError(
                    f"nothing has happened for {_PATIENCE_SECONDS:.0f} s",
                    advice=f"see {out / 'daemon.log'}",
                )
            if on_terminal:
                live.update(_progress(shown), refresh=True)


def _look(one: Shown, book: Mapping[str, Any], pressed_at: float, out: Path) -> None:
    one.status = str(book.get(fields.STATUS))
    one.progress = float(book.get(fields.PROGRESS) or 0.0)
    if one.status == fields.READY:
        one.seconds = time.monotonic() - pressed_at
        one.audio_seconds = float(book[fields.DURATION])
        one.file = _fetch(book[fields.URL], out / f"{slug(one.book_id)}.wav")
        one.beside = [
            _fetch(file[fields.FILE_URL], one.file.with_suffix(f".{name}"))
            for name, file in fields.files_of(dict(book)).items()
        ]
        one.right = one.book_id != BAD_BOOK
    elif one.status == fields.FAILED:
        one.seconds = time.monotonic() - pressed_at
        error = book.get(fields.ERROR) or {}
        one.status = f"failed: {error.get('code')}"
        one.note = str(error.get("message"))
        one.right = one.book_id == BAD_BOOK


def _fetch(url: str, file: Path) -> Path:
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    file.write_bytes(answer.content)
    return file


def _marks(app: Any) -> dict[int, str]:
    known = db.reference(fields.MARKS, app=app).get() or {}
    return {int(index): book_id for book_id, index in known.items()}


def _check_watermarks(shown: list[Shown], known: dict[int, str]) -> None:
    """Ask of each file which book it is, among all of them."""
    search = Search([keys.PUBLIC], ledger.Tables(ledger.table_of(known, ledger.MARKS_FILE), ""))
    for one in shown:
        if one.file is None:
            continue
        finding = search.examine(one.file)
        one.watermark = (
            f"{source.name}, chance of error {source.chance_of_error}"
            if (source := next(iter(finding.sources), None))
            else "none found"
        )
        named = {finding.book_id, *(search.examine(file).book_id for file in one.beside)}
        one.right = one.right and named == {one.book_id}


def _progress(shown: list[Shown]) -> Table:
    table = Table(box=None)
    for heading in ("Book", "Status", ""):
        table.add_column(heading)
    for one in shown:
        done = 1.0 if one.over else one.progress
        table.add_row(
            plain(one.title), plain(one.status), ProgressBar(total=1.0, completed=done, width=30)
        )
    return table


def _result(shown: list[Shown]) -> Table:
    table = Table(title="Narrations")
    for heading in ("Book", "Status", "Audio", "Ready after", "File", "Beside it", "Watermark"):
        table.add_column(heading, overflow="fold")
    for one in shown:
        table.add_row(
            plain(one.title),
            plain(one.status),
            "" if one.audio_seconds is None else f"{one.audio_seconds:.1f} s",
            "" if one.seconds is None else f"{one.seconds:.1f} s",
            plain("" if one.file is None else one.file),
            plain(", ".join(_size(file, one.file) for file in one.beside)),
            plain(one.watermark or one.note),
        )
    return table


def _size(file: Path, wav: Path | None) -> str:
    """A file and how much of the WAV it is."""
    size = file.stat().st_size
    share = "" if wav is None else f", {size / wav.stat().st_size:.0%} of it"
    return f"{file.suffix[1:]}, {size / 1e6:.1f} MB{share}"


def _keep(console: Console, endpoints: Endpoints, daemon: subprocess.Popen[bytes]) -> None:
    console.print("Everything stays up; press Ctrl-C to stop.")
    print(json.dumps(endpoints), flush=True)
    try:
        daemon.wait()
    except KeyboardInterrupt:
        console.print("Stopping.")
    else:
        raise DemoError("the daemon ended by itself")

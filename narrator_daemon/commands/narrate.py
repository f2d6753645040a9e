"""A text file read aloud into a WAV file, with no Firebase: ``narrator-daemon narrate``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from narrator_daemon.catalogue import VOICE, Record
from narrator_daemon.claims import book
from narrator_daemon.credentials.files import FileCredentials, signer_of
from narrator_daemon.errors import CannotRead
from narrator_daemon.marks import keys, ledger
from narrator_daemon.narration.accepting import Unnarratable
from narrator_daemon.narration.captions import captions_of
from narrator_daemon.narration.companions import About, Companion, asked_for, line
from narrator_daemon.narration.manner import Manners
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import fingerprint, kept_name, narrate, seed_of
from narrator_daemon.narration.narrated import Narration
from narrator_daemon.narration.progress import Progress
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.notice import fingerprint_of, notice_for
from narrator_daemon.settings import Settings
from narrator_daemon.speech import SpeechEngine, choosing

#: Seconds between lines about the progress where there is no terminal.
_LINE_SECONDS = 30.0

#: What is beside the WAV when its words are heard, by what ``captions_of`` calls it.
_CAPTIONS = {"json": ".json", "vtt": ".vtt", "chapters": ".chapters.vtt"}

_STEPS = {"speech": "Reading aloud", "finishing": "Mastering and writing"}


def read_file(
    settings: Settings,
    text_file: Path,
    out: Path,
    book_id: str,
    report: Path | None = None,
    formats: Sequence[str] = (),
    *,
    voice: str | None = None,
    captions: bool = False,
) -> None:
    """Narrate a text file.

    Interrupted and begun again, it goes on after the segments that were finished.

    Args:
        settings: engine, voice, limits, watermark.
        text_file: UTF-8 text.
        out: the WAV to write; its folder's ``marks.json`` remembers the book's watermark index.
        book_id: whose watermark it gets.
        report: a page about it to write, too.
        formats: other files to write beside it, by the names of ``companions.FORMS``.
        voice: one of the settings' voices; None for the default.
        captions: whether to write beside it when its words are heard.

    Raises:
        CannotRead: a file cannot be read or written, or its text not be narrated.
        ConfigError: the key or ``marks.json`` cannot be used.
        SpeechError: the engine cannot speak.
    """
    console = Console(stderr=True)
    try:
        # Editors end a file with a line break, which the field of a book does not: the same text
        # shall come out as the daemon reads it.
        text = text_file.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise CannotRead(f"cannot be read: {error.strerror}", where=str(text_file)) from None
    except UnicodeDecodeError as error:
        raise CannotRead(f"is not UTF-8 text (byte {error.start})", where=str(text_file)) from None
    wanted = tuple(dict.fromkeys(formats))
    files_beside = settings.files.model_copy(update={"formats": wanted, "captions": captions})
    settings = settings.model_copy(update={"files": files_beside})
    others = [out.with_suffix(f".{name}") for name in wanted]
    said_when = [out.with_suffix(ending) for ending in (_CAPTIONS.values() if captions else ())]
    for target in (out, report, *others, *said_when):
        if target is not None and (target.is_dir() or not target.parent.is_dir()):
            why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
            raise CannotRead(f"cannot be written: {why}", where=str(target))
    files = [
        file.resolve() for file in (text_file, out, report, *others, *said_when) if file is not None
    ]
    if len(set(files)) < len(files):
        raise CannotRead("text, audio and report must be files of their own", advice="name another")
    if others and out.exists() and not out.is_file():
        raise CannotRead("is no file, so that nothing can lie beside it", where=str(out))
    if report is not None and out.exists() and not out.is_file():
        raise CannotRead("is read again for the report, and so must be a file", where=str(out))
    key = keys.load(settings)
    if key is None:
        console.print("No watermark key is configured: marked with the public one.", style="yellow")
        key = keys.DEMO_KEY
    signer = signer_of(settings, throwaway=True)
    if signer is not None and signer.throwaway:
        console.print(
            "No certificate is configured: signed by a throwaway that nobody trusts.",
            style="yellow",
        )
    engine = choosing.create(settings)
    manners = Manners(settings, engine)
    asked: Record = {} if voice is None else {VOICE: voice}
    started = time.monotonic()
    try:
        with _Display(console) as display:
            display.say(f"Loading {engine.name}")
            engine.load()
            mark = Mark(
                key,
                ledger.local_index(out.parent, book_id),
                settings.watermark.strength_db,
                settings.watermark.self_check,
                settings.watermark.public,
            )
            with ExitStack() as written:
                wav = written.enter_context(_written_whole(out))
                beside = iter(others)
                companions = asked_for(
                    settings.files, lambda: written.enter_context(_written_whole(next(beside)))
                )
                about = About(title=line(book_id))
                narration = _narrate(
                    settings, engine, manners, asked, text, mark, wav, companions, about, display
                )
                # What is written to a pipe is gone.
                if wav.seekable():
                    credentials = FileCredentials(signer, settings)
                    credentials.add(wav, credentials.made(book_id=book_id, index=mark.index))
            if captions:
                for name, data in captions_of(narration, text).files.items():
                    with _written_whole(out.with_suffix(_CAPTIONS[name])) as file:
                        file.write(data)
            if report is not None:
                display.say("Writing the report")
                made_from = {
                    "Book": book_id,
                    "Engine": f"{engine.name} ({engine.settings_fingerprint})",
                    "Watermark strength": f"{mark.strength_db:g} dB",
                    "Loudness asked for": f"{settings.mastering.loudness_lufs:g} LUFS",
                }
                _report(report, out, narration, made_from, book_id)
    except Unnarratable as error:
        raise CannotRead(f"{error} ({error.failure.code.value})", where=str(text_file)) from None
    except OSError as error:
        where = f"{out}, or what is kept in {settings.kept.folder} until it is finished"
        raise CannotRead(f"cannot be written: {error.strerror}", where=where) from None
    finally:
        engine.close()
    facts = narration.facts
    earlier = f" ({facts['segmentsKept']} of them before)" if facts["segmentsKept"] else ""
    written_files = ", ".join(str(file) for file in (out, *others))
    console.print(
        f"{written_files}: {narration.duration_seconds:.1f} s of audio, {facts['words']} words, "
        f"{facts['segments']} segments{earlier}, {time.monotonic() - started:.1f} s taken",
        highlight=False,
        soft_wrap=True,
    )


def _narrate(
    settings: Settings,
    engine: SpeechEngine,
    manners: Manners,
    asked: Record,
    text: str,
    mark: Mark,
    wav: BinaryIO,
    companions: Sequence[Companion],
    about: About,
    display: _Display,
) -> Narration:
    kept = KeptSegments(settings.kept)
    # A file is no book that could ask for it or out of it.
    notice = notice_for(settings.credentials, {})
    manner = manners.of(asked)
    reader = manners.reader(manner.voice)
    shaped_by = fingerprint(engine, settings) + fingerprint_of(settings.credentials, {})
    seed = seed_of(book.input_hash(text, shaped_by + manners.fingerprint(asked)), 1)
    narration = narrate(
        text,
        wav,
        engine=reader,
        lexicon=manner.lexicon,
        cast=manner.asked_cast,
        pause_marks=settings.text.pause_marks,
        reader=manners.reader,
        words=settings.files.captions,
        limits=settings.limits,
        seed=seed,
        mark=mark,
        kept=kept,
        loudness_lufs=settings.mastering.loudness_lufs,
        pauses=settings.pauses,
        companions=companions,
        about=about,
        notice=notice,
        on_progress=display.show,
    )
    kept.remove(kept_name(reader, seed))
    return narration


def _report(
    page: Path, wav: Path, narration: Narration, made_from: dict[str, str], book_id: str
) -> None:
    from narrator_daemon.narration.report import write_report

    try:
        write_report(page, wav, narration, made_from, book_id)
    except OSError as error:
        raise CannotRead(f"cannot be written: {error.strerror}", where=str(page)) from None


@contextmanager
def _written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that stands under its name once it is complete, and leaves nothing else."""
    if path.exists() and not path.is_file():  # a pipe or a device
        with path.open("wb") as file:
            yield file
        return
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with new.open("w+b") as file:
            yield file
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


class _Display:
    """A bar at a terminal; elsewhere a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, left="")
        self._said_at = time.monotonic()

    def __enter__(self) -> _Display:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, what: str) -> None:
        """Show what is being done, for how long is not known."""
        self._bar.update(self._task, description=what)

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        step, left = _STEPS[progress.step], _left(progress)
        self._bar.update(
            self._task, description=step, total=1.0, completed=progress.share, left=left
        )
        if not self._console.is_terminal and time.monotonic() - self._said_at >= _LINE_SECONDS:
            self._said_at = time.monotonic()
            line = ", ".join(part for part in (f"{step}: {progress.share:.1%}", left) if part)
            self._console.print(line, highlight=False)


def _left(progress: Progress) -> str:
    if progress.seconds_left is None:
        return ""
    return f"{timedelta(seconds=round(progress.seconds_left))} left"

"""A text file read aloud into a WAV file, with no Firebase: ``narrator-daemon narrate``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from narrator_daemon import book, keys, provenance, speech
from narrator_daemon.narration import Mark, narrate, seed_of
from narrator_daemon.settings import Settings


class CannotRead(Exception):
    """The text file cannot be read or the audio not written; the message says which and why."""


def read_file(settings: Settings, text_file: Path, out: Path, book_id: str) -> None:
    """Narrate a text file.

    Args:
        settings: engine, voice, limits, watermark.
        text_file: UTF-8 text.
        out: the WAV to write; its folder's ``marks.json`` remembers the book's watermark index.
        book_id: whose watermark it gets.

    Raises:
        CannotRead: a file cannot be read or written.
        ConfigError: the key or ``marks.json`` cannot be used.
        SpeechError: the engine cannot speak.
        Unnarratable: the text's own fault.
    """
    console = Console(stderr=True)
    try:
        text = text_file.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotRead(f"{text_file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CannotRead(f"{text_file}: is not UTF-8 text (byte {error.start})") from None
    if out.is_dir() or not out.parent.is_dir():
        why = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise CannotRead(f"{out}: cannot be written: {why}")
    key = keys.load(settings)
    if key is None:
        console.print("No watermark key is configured: marked with the public one.", style="yellow")
        key = keys.DEMO_KEY
    engine = speech.create(settings)
    try:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(f"Loading {engine.name}", total=None)
            engine.load()
            progress.update(task, description="Reading aloud", total=1.0, completed=0.0)
            mark = Mark(
                key,
                provenance.local_index(out.parent, book_id),
                settings.watermark.strength_db,
                settings.watermark.self_check,
            )
            fingerprint = f"{engine.name} {engine.settings_fingerprint}"
            narration = narrate(
                text,
                engine=engine,
                limits=settings.limits,
                seed=seed_of(book.input_hash(text, fingerprint), 1),
                mark=mark,
                on_progress=lambda share: progress.update(task, completed=share),
            )
        out.write_bytes(narration.wav)
    except OSError as error:
        raise CannotRead(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        engine.close()
    facts = narration.facts
    console.print(
        f"{out}: {narration.duration_seconds:.1f} s of audio, {facts['words']} words, "
        f"{sum(facts['secondsByStep'].values()):.1f} s taken",
        highlight=False,
    )

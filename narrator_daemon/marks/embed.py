"""Marking an audio file that the daemon did not make: ``narrator-daemon watermark embed``."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import soundfile

import watermark
from narrator_daemon.errors import CannotMark, Unreadable
from narrator_daemon.marks.audio_files import AudioFile, open_audio

#: What is written loses nothing: a mark is the strongest where it was just made.
_FORMATS = {".wav": "WAV", ".flac": "FLAC"}
#: Sample formats of the source that are more than 16 bits.
_FINE = {"PCM_24", "PCM_32", "FLOAT", "DOUBLE"}
#: A WAV cannot tell of more bytes.
_MOST_WAV_BYTES = 4_000_000_000


@dataclass(frozen=True)
class Marked:
    """A file that was marked.

    Attributes:
        seconds: its length.
        score: of the mark, measured on what was written; compare with ``watermark.WEAK_SCORE``.
    """

    seconds: float
    score: float


def check_target(source: Path, target: Path) -> None:
    """Refuse a target that cannot be written, before anything is allotted or read.

    Raises:
        CannotMark: it has another ending, no folder, or is the source.
    """
    if target.suffix.lower() not in _FORMATS:
        raise CannotMark(f"{target}: must end in .wav or .flac")
    if target.is_dir() or not target.parent.is_dir():
        why = "it is a folder" if target.is_dir() else f"there is no folder {target.parent}"
        raise CannotMark(f"{target}: cannot be written: {why}")
    if target.exists() and source.exists() and target.samefile(source):
        raise CannotMark(f"{target}: is the source itself; name another file")


def embed_file(source: Path, target: Path, key: bytes, index: int, strength_db: float) -> Marked:
    """Mark a file and write it as another, in bounded memory.

    Args:
        source: of any format that can be read.
        target: ends in ``.wav`` or ``.flac``; replaced when all is written, left alone before.
        key: the secret key.
        index: the book's.
        strength_db: gain change of the mark, in dB.

    Raises:
        Unreadable: the source cannot be read to its end.
        CannotMark: the target cannot be written, or the source holds no numbers.
    """
    check_target(source, target)
    form = _FORMATS[target.suffix.lower()]
    with open_audio(source) as audio:
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".marking-") as folder:
                new = Path(folder) / "new"
                marked = _write(audio, new, form, key, index, strength_db)
                new.replace(target)
        except (OSError, soundfile.SoundFileError) as error:
            raise CannotMark(f"{target}: cannot be written: {error}") from None
        except ValueError as error:
            raise CannotMark(f"{source}: cannot be marked: {error}") from None
    return marked


def _write(
    audio: AudioFile, new: Path, form: str, key: bytes, index: int, strength_db: float
) -> Marked:
    subtype = "PCM_24" if audio.subtype in _FINE else "PCM_16"
    embedder = watermark.Embedder(
        audio.rate, key, index, channels=audio.channels, strength_db=strength_db
    )
    check = watermark.SelfCheck(audio.rate, key, index)
    written = 0
    with soundfile.SoundFile(
        os.fsencode(new), "w", audio.rate, audio.channels, subtype, format=form
    ) as out:
        for block in audio.blocks():
            marked = embedder.feed(block if audio.channels > 1 else block[:, 0])
            check.feed(marked)
            out.write(marked)
            written += len(marked)
            if form == "WAV" and written * audio.channels * 3 > _MOST_WAV_BYTES:
                raise CannotMark(f"{audio.path}: is too long for a WAV file; write a .flac")
        if audio.damage:
            raise Unreadable(f"{audio.path}: cannot be read to its end: {audio.damage}")
        marked = embedder.finish()
        check.feed(marked)
        out.write(marked)
    return Marked((written + len(marked)) / audio.rate, check.finish())

"""Smaller files beside the WAV, made of the same marked samples as these come.

M4A plays everywhere and is sought in at once, as its index is at its beginning; Opus is the
smallest; MP3 is for players that know nothing else. FFmpeg writes them in a process of its own
(``encode``), so that they cost this one a pipe.
"""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from csm import SAMPLE_RATE
from csm.text import Segment, headings
from narrator_daemon.cover import Cover
from narrator_daemon.settings import Files

#: Headings of these levels open a chapter; where there are none, the highest there are.
_CHAPTER_LEVEL = 2

#: Bytes of a title: M4A counts those of a chapter with one byte.
_MOST_TITLE_BYTES = 250

#: Seconds that FFmpeg gets for the end of its files; the index of a day of sound takes two.
_LAST_SECONDS = 300.0


@dataclass(frozen=True)
class Form:
    """A format that companions come in.

    Attributes:
        name: as settings and the database have it, and the ending of its objects.
        content_type: as browsers are told.
        container: FFmpeg's.
        codec: FFmpeg's encoder.
        options: of the container.
        takes_cover: whether FFmpeg puts a picture into it.
        coder: options of the encoder.
    """

    name: str
    content_type: str
    container: str
    codec: str
    options: dict[str, str]
    takes_cover: bool
    coder: dict[str, str] = field(default_factory=dict)


#: All of them, by name.
FORMS = {
    form.name: form
    for form in (
        # What Apple calls M4A; its own container in FFmpeg takes no cover. At 48 kbit/s the fast
        # search takes 0.4 of the usual one's CPU and stays nearer to the source: 28 dB, not 23.
        Form(
            "m4a",
            "audio/mp4",
            "mp4",
            "aac",
            {"movflags": "+faststart", "brand": "M4A "},
            takes_cover=True,
            coder={"aac_coder": "fast"},
        ),
        Form("opus", "audio/ogg", "ogg", "libopus", {}, takes_cover=False),
        Form("mp3", "audio/mpeg", "mp3", "libmp3lame", {"id3v2_version": "3"}, takes_cover=True),
    )
}


@dataclass(frozen=True)
class Companion:
    """A file that is asked for.

    Attributes:
        form: its format.
        kbits: thousand bits a second.
        file: empty; in the system's sense, as another process writes it.
    """

    form: Form
    kbits: int
    file: BinaryIO

    @property
    def size(self) -> int:
        """Bytes that are in it."""
        return self.file.seek(0, 2)


def asked_for(settings: Files, scratch: Callable[[], BinaryIO]) -> list[Companion]:
    """The companions that the settings ask for, each with a file of its own.

    Args:
        settings: formats and bit rates.
        scratch: opens an empty file.
    """
    kbits = {"m4a": settings.m4a_kbits, "opus": settings.opus_kbits, "mp3": settings.mp3_kbits}
    return [Companion(FORMS[name], kbits[name], scratch()) for name in settings.formats]


@dataclass(frozen=True)
class Chapter:
    """Where a chapter begins.

    Attributes:
        title: as the text has it.
        start_seconds: in the file.
    """

    title: str
    start_seconds: float


@dataclass(frozen=True)
class About:
    """What files say of the book.

    Attributes:
        title: of the book; empty where it is not known.
        author: of the book; empty where it is not known.
        cover: a picture, if there is one.
    """

    title: str = ""
    author: str = ""
    cover: Cover | None = None


class EncodingFailed(Exception):
    """FFmpeg could not write the files, and not for want of room on the disk."""


def line(text: object) -> str:
    """What a database holds as one short line for a tag; empty where that is no text."""
    if not isinstance(text, str):
        return ""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:1000])
    encoded = " ".join(shown.split()).encode("utf-8", "ignore")
    return encoded[:_MOST_TITLE_BYTES].decode("utf-8", "ignore").strip()


def chapters_of(
    segments: Sequence[Segment], sentences: Sequence[Sequence[int]]
) -> tuple[Chapter, ...]:
    """The chapters of a narration.

    Args:
        segments: of its text.
        sentences: for each of these, the sample at which each of its sentences begins.
    """
    found = headings(segments)
    level = max(_CHAPTER_LEVEL, min((heading.level for _, heading in found), default=0))
    made: list[Chapter] = []
    for number, heading in found:
        title = line(heading.title)
        if heading.level > level or not title:
            continue
        inside = (sentence.heading is heading for sentence in segments[number].sentences)
        start = sentences[number][next(at for at, is_it in enumerate(inside) if is_it)]
        if not made or start / SAMPLE_RATE >= made[-1].start_seconds + 0.001:
            made.append(Chapter(title, start / SAMPLE_RATE))
    return tuple(made)


class Encoder:
    """Writes companions; they are complete after ``finish``. Its process ends with its ``with``.

    Args:
        companions: at least one.
        about: what they say of the book.
        chapters: in order.
        length: samples that will come.
    """

    def __init__(
        self,
        companions: Sequence[Companion],
        about: About,
        chapters: Sequence[Chapter],
        length: int,
    ) -> None:
        job = {
            "rate": SAMPLE_RATE,
            "samples": length,
            "tags": _tags(about),
            "chapters": _places(chapters, about.title),
            "cover": _picture(about.cover),
            "files": [
                {
                    "descriptor": companion.file.fileno(),
                    "container": companion.form.container,
                    "codec": companion.form.codec,
                    "bits": 1000 * companion.kbits,
                    "options": companion.form.options,
                    "coder": companion.form.coder,
                    "cover": companion.form.takes_cover,
                }
                for companion in companions
            ],
        }
        # In memory: the disk may be what is full.
        self._complaint = os.fdopen(os.memfd_create("complaint"), "w+b")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "narrator_daemon.narration.encode"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._complaint,
            pass_fds=[companion.file.fileno() for companion in companions],
        )
        try:
            self._send(json.dumps(job).encode() + b"\n")
        except BaseException:
            self._end()
            raise

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Add samples, ``[n]``.

        Raises:
            OSError: the disk is full or fails.
            EncodingFailed: FFmpeg fails.
        """
        self._send(samples.data)

    def _send(self, data: Any) -> None:
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 — it is a pipe
        try:
            pipe.write(data)
        except BrokenPipeError:
            raise self._error() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def finish(self) -> None:
        """Take in that all samples came, and wait until the files are complete.

        Raises:
            OSError: the disk is full or fails.
            EncodingFailed: FFmpeg fails.
        """
        try:
            self._process.communicate(timeout=_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            raise EncodingFailed(f"FFmpeg did not end within {_LAST_SECONDS:.0f} s") from None
        if self._process.returncode != 0:
            raise self._error()

    def _error(self) -> Exception:
        """Why the process has ended."""
        try:
            status = self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return EncodingFailed("FFmpeg closed its input and went on")
        self._complaint.seek(0)
        last = self._complaint.read()[-10_000:].decode("utf-8", "replace").strip().splitlines()[-1:]
        try:
            told = json.loads(last[0])
            number, what = told["errno"], str(told["what"])
        except (IndexError, KeyError, TypeError, ValueError):
            number, what = None, last[0] if last else f"the process ended with {status}"
        # FFmpeg's own numbers are negative, or letters.
        if isinstance(number, int) and 0 < number < 200:
            return OSError(number, what)
        return EncodingFailed(what)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass  # what was still to be sent, to one that is no more
        self._complaint.close()


def _tags(about: About) -> dict[str, str]:
    tags = {"title": about.title, "album": about.title, "artist": about.author}
    return {name: value for name, value in tags.items() if value} | {"genre": "Audiobook"}


def _places(chapters: Sequence[Chapter], title: str) -> list[tuple[str, int]]:
    """Titles and starts, in milliseconds; what is before the first is a chapter too."""
    places = [(one.title, math.floor(1000 * one.start_seconds)) for one in chapters]
    # A heading that opens the text begins after the silence at the head.
    if places and places[0][1] <= 1000:
        return [(places[0][0], 0), *places[1:]]
    return [(title or "Beginning", 0), *places] if places else []


def _picture(cover: Cover | None) -> dict[str, Any] | None:
    if cover is None:
        return None
    return {
        "kind": cover.kind,
        "width": cover.width,
        "height": cover.height,
        "data": base64.b64encode(cover.data).decode("ascii"),
    }

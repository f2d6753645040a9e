"""Reading audio files of any format, block by block, in bounded memory.

libsndfile reads what it can; for the rest FFmpeg is asked, an installed one or the one that PyAV
carries. Files come from strangers, so it runs as a process of its own without a shell, may open
this one file and nothing else, decodes formats that hold sound and no playlists, and is held to
limits of time, memory and length.
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from numpy.typing import NDArray

import watermark
from narrator_daemon.errors import Unreadable

#: Longer files are refused: they are damaged, or made to keep a reader busy.
MAX_HOURS = 24
_MAX_CHANNELS = 64

#: Containers that ffmpeg may open. What is not here can name other files or addresses.
_FORMATS = (
    "aac,ac3,adts,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,g722,gsm,loas,m4v,matroska,webm,"
    "mov,mp4,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,shn,tak,tta,voc,w64,wav,wv,xwma"
)
#: Seconds without a byte after which ffmpeg is stopped, and seconds of CPU that it gets.
_SILENT_SECONDS = 60
_CPU_SECONDS = 3600
_MEMORY_BYTES = 2 << 30
#: A file longer than this holds more than a header.
_A_HEADER = 1024
#: Sun's audio header: magic, offset of the samples, their size, encoding, rate, channels.
_HEADER = struct.Struct(">4s5I")


@dataclass
class AudioFile:
    """An open audio file.

    Attributes:
        path: of the file.
        rate: samples a second, 8,000 to 192,000.
        channels: 1 to 64.
        subtype: libsndfile's name of the sample format; empty where ffmpeg reads.
        damage: why reading ended before the file did; empty where it did not. Complete once
            ``blocks`` is exhausted.
    """

    path: Path
    rate: int
    channels: int
    subtype: str
    damage: str = ""
    _source: Iterator[NDArray[np.float32]] = field(default_factory=lambda: iter(()), repr=False)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Samples in their order, each block ``[n, channels]`` with n at most a second's; once.

        Raises:
            Unreadable: nothing can be read, or it is longer than ``MAX_HOURS``.
        """
        heard = 0
        try:
            for block in self._source:
                heard += len(block)
                if heard > MAX_HOURS * 3600 * self.rate:
                    raise Unreadable(f"{self.path}: is longer than {MAX_HOURS} hours; cut it")
                yield block
        except _Broken as error:
            if not heard:
                raise Unreadable(f"{self.path}: cannot be read as audio ({error})") from None
            self.damage = f"damaged after {heard / self.rate:.1f} s"


class _Broken(Exception):
    """Decoding cannot go on."""


@contextmanager
def open_audio(path: Path, *, alone: bool = True) -> Iterator[AudioFile]:
    """Open a file of any format that libsndfile or FFmpeg reads.

    Args:
        path: of the file.
        alone: whether nobody else in this process writes to standard error. Where others do, it is
            left to them, and MP3, whose decoder in libsndfile writes there, is decoded by FFmpeg.

    Raises:
        Unreadable: it is no file, of no such format, or its rate or channels are out of range.
    """
    if not path.is_file():
        raise Unreadable(f"{path}: is not a file")
    # Neither program may take a name for an option, for "-" or for an address.
    absolute = path.absolute()
    opened = _opened_by_libsndfile(absolute, alone=alone)
    if isinstance(opened, str):
        with _opened_by_ffmpeg(path, absolute, opened) as audio:
            yield _checked(audio)
        return
    with opened:
        yield _checked(
            AudioFile(path, opened.samplerate, opened.channels, opened.subtype, "", _read(opened))
        )


def _opened_by_libsndfile(absolute: Path, *, alone: bool) -> soundfile.SoundFile | str:
    """The file, or why it is not for libsndfile."""
    try:
        with absolute.open("rb") as file:
            begin = file.read(3)
        if not alone and (begin == b"ID3" or begin[:1] == b"\xff"):
            return "not asked"
        with _hushed() if alone else nullcontext():
            # Bytes: a name need not be UTF-8.
            opened = soundfile.SoundFile(os.fsencode(absolute))
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError, ValueError) as error:
        return _reason(error)
    # Some WAV files hold MP3. And where a recorder was cut off the header was not finished.
    unfinished = opened.frames == 0 and absolute.stat().st_size > _A_HEADER
    if unfinished or (_of_mpeg(opened) and not alone):
        opened.close()
        return "not asked" if not unfinished else "its header says that it holds no sound"
    return opened


def _of_mpeg(opened: soundfile.SoundFile) -> bool:
    """Whether libsndfile decodes it with libmpg123."""
    return str(opened.subtype).startswith("MPEG_LAYER")


def _reason(error: Exception) -> str:
    # libsndfile's own words come after the name that it was given.
    return str(getattr(error, "error_string", error)).strip().rstrip(".") or type(error).__name__


def _checked(audio: AudioFile) -> AudioFile:
    if not watermark.MIN_RATE <= audio.rate <= watermark.MAX_RATE:
        raise Unreadable(
            f"{audio.path}: has a sample rate of {audio.rate} Hz; "
            f"{watermark.MIN_RATE} to {watermark.MAX_RATE} can be examined"
        )
    if not 1 <= audio.channels <= _MAX_CHANNELS:
        raise Unreadable(f"{audio.path}: has {audio.channels} channels; at most {_MAX_CHANNELS}")
    return audio


def _read(opened: soundfile.SoundFile) -> Iterator[NDArray[np.float32]]:
    while True:
        try:
            with _hushed() if _of_mpeg(opened) else nullcontext():
                block = opened.read(opened.samplerate, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise _Broken(_reason(error)) from None
        if not len(block):
            return
        yield block


@contextmanager
def _hushed() -> Iterator[None]:
    """Without standard error: libsndfile's MP3 decoder writes there what only its makers need."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 — a device
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _decoder(absolute: Path) -> list[str]:
    """The command that decodes a file to Sun's audio format."""
    hours = MAX_HOURS + 10 / 3600
    if program := shutil.which("ffmpeg"):
        command = [program, "-nostdin", "-v", "error", "-format_whitelist", _FORMATS]
        command += ["-protocol_whitelist", "file", "-i", f"file:{absolute}", "-map", "0:a:0"]
        return [*command, "-t", str(round(hours * 3600)), "-c:a", "pcm_f32be", "-f", "au", "-"]
    module = "narrator_daemon.marks.decode"
    return [sys.executable, "-P", "-m", module, str(absolute), _FORMATS, str(hours)]


@contextmanager
def _opened_by_ffmpeg(path: Path, absolute: Path, refusal: str) -> Iterator[AudioFile]:
    with subprocess.Popen(  # noqa: S603 — no shell, and the name is bound to file:
        _decoder(absolute), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            for what, limit in (
                (resource.RLIMIT_CPU, _CPU_SECONDS),
                (resource.RLIMIT_AS, _MEMORY_BYTES),
                (resource.RLIMIT_FSIZE, 0),
            ):
                # One that has ended already needs no limits.
                with suppress(ProcessLookupError):
                    resource.prlimit(process.pid, what, (limit, limit))
            output = _Output(process)
            try:
                header = output.take(_HEADER.size)
                magic, offset, _, _, rate, channels = _HEADER.unpack(header)
                if magic != b".snd" or not 1 <= channels <= _MAX_CHANNELS:
                    raise _Broken("no sound in it")
                output.take(offset - _HEADER.size)
            except (_Broken, struct.error) as error:
                raise Unreadable(
                    f"{path}: neither libsndfile nor ffmpeg reads it as audio "
                    f"({refusal}; {output.complaint or error})"
                ) from None
            yield AudioFile(path, rate, channels, "", "", output.blocks(rate, channels))
        finally:
            process.kill()


class _Output:
    """What a process writes, read with patience that ends."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 — both are pipes
        assert process.stderr is not None  # noqa: S101
        self._process = process
        self._selector = selectors.DefaultSelector()
        self._selector.register(process.stdout, selectors.EVENT_READ, "out")
        self._selector.register(process.stderr, selectors.EVENT_READ, "err")
        self._bytes = bytearray()
        self._complaint = b""
        self._ended = False

    @property
    def complaint(self) -> str:
        """The first line that it wrote to standard error, without names and addresses."""
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        return re.sub(r"^\[[^]]*\] |^.*: ", "", lines[0])[:80].rstrip(".") if lines else ""

    def take(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        deadline = time.monotonic() + _SILENT_SECONDS
        while len(self._bytes) < count and not self._ended:
            if self._fill(max(deadline - time.monotonic(), 0)):
                deadline = time.monotonic() + _SILENT_SECONDS
            elif time.monotonic() >= deadline:
                raise _Broken(f"ffmpeg gave nothing for {_SILENT_SECONDS} s")
        taken = bytes(self._bytes[:count])
        del self._bytes[:count]
        return taken

    def _fill(self, patience: float) -> bool:
        """Read what there is; whether there was sound or an end."""
        came = False
        for key, _ in self._selector.select(patience):
            pipe: IO[bytes] = key.fileobj  # type: ignore[assignment]
            read = pipe.read1(1 << 20)  # type: ignore[attr-defined]
            if key.data == "err":
                self._complaint = (self._complaint + read)[:2000]
            self._bytes += read if key.data == "out" else b""
            came |= key.data == "out"
            if not read:
                self._selector.unregister(pipe)
        self._ended = not self._selector.get_map()
        return came

    def blocks(self, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
        """Samples, ``[n, channels]``, a second at a time."""
        frame = 4 * channels
        while taken := self.take(rate * frame):
            whole = taken[: len(taken) // frame * frame]
            samples = np.frombuffer(whole, ">f4").astype(np.float32)
            if len(samples):
                yield samples.reshape(-1, channels)
        if self._process.wait() != 0:
            raise _Broken(self.complaint or f"ffmpeg ended with {self._process.returncode}")

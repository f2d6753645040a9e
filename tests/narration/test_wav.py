"""The WAV file of a narration that ends early."""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from narrator_daemon.marks.keys import DEMO_KEY
from narrator_daemon.narration.marking import Mark
from narrator_daemon.narration.narrate import Stopped, narrate
from narrator_daemon.narration.progress import Progress
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.settings import Kept, Limits
from narrator_daemon.speech.tone import ToneSpeech
from narrator_daemon.wav import WavWriter


@pytest.fixture
def ignored(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What Python would print as ``Exception ignored in …``."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: found.append(args.exc_value))
    return found


def test_one_that_is_stopped_while_it_is_written_is_let_go_of(
    tmp_path: Path, ignored: list[Any]
) -> None:
    engine = ToneSpeech()
    engine.load()
    out = io.BytesIO()

    def stop(progress: Progress) -> None:
        if len(out.getvalue()) > 44:
            raise Stopped

    # Closed while the error is on its way, as the file of a job is.
    with pytest.raises(Stopped), out:
        narrate(
            "A text of a few words.",
            out,
            engine=engine,
            limits=Limits(),
            seed=1,
            mark=Mark(DEMO_KEY, 1, 1.5, False),
            kept=KeptSegments(Kept(folder=tmp_path, max_gigabytes=0)),
            on_progress=stop,
        )
    gc.collect()
    assert ignored == []


class FullDisk(io.BytesIO):
    """Takes the header, and no more; nor does it let itself be read back or sought in."""

    full = False

    def write(self, data: Any, /) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(data)

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_one_on_a_full_disk_says_so_and_nothing_else(ignored: list[Any]) -> None:
    def fill(file: FullDisk) -> None:
        with WavWriter(file, 1000) as wav:
            wav.write(np.zeros(500, dtype=np.int16))
            file.full = True
            wav.write(np.zeros(500, dtype=np.int16))

    with pytest.raises(OSError, match="No space left"), FullDisk() as file:
        fill(file)
    gc.collect()
    assert ignored == []


def test_a_whole_one_has_its_length_in_front() -> None:
    file = io.BytesIO()
    with WavWriter(file, 3) as wav:
        wav.write(np.array([1, -2, 3], dtype=np.int16))
    written = file.getvalue()
    assert len(written) == 44 + 6
    assert written[:4] == b"RIFF" and int.from_bytes(written[4:8], "little") == 36 + 6
    assert written[40:] == (6).to_bytes(4, "little") + b"\1\0\xfe\xff\3\0"

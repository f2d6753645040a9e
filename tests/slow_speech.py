"""The program, with a tone engine that takes its time and writes down what it is asked for."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from narrator_daemon.cli import main
from narrator_daemon.speech import Spoken
from narrator_daemon.speech.tone import ToneSpeech


def program(asked: Path, seconds: float) -> tuple[str, str]:
    """Arguments for Python, before those of the program."""
    root = str(Path(__file__).parent.parent)
    code = f"from tests.slow_speech import run; run({str(asked)!r}, {seconds})"
    return "-c", f"import sys; sys.path.insert(0, {root!r}); {code}"


def run(asked: str, seconds: float) -> None:
    speak = ToneSpeech.speak

    def slowly(
        self: ToneSpeech, segments: Sequence[str], **settings: Any
    ) -> Generator[Spoken, None, None]:
        for spoken in speak(self, segments, **settings):
            with Path(asked).open("a") as out:
                out.write(f"{spoken.index}\n")
            time.sleep(seconds)
            yield spoken

    ToneSpeech.speak = slowly  # type: ignore[method-assign]
    main()

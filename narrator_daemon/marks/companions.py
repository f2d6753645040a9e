"""Whether a finished file still carries its mark, and plays: its beginning decoded and searched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import watermark
from narrator_daemon.marks.audio_files import open_audio

#: Seconds of a file that are decoded: a score of 50, where 10 is weak, at a cost that does not grow.
SECONDS = 60


def score(file: BinaryIO, key: bytes, index: int) -> float:
    """The score of a book's mark in the beginning of a file; compare with ``WEAK_SCORE``.

    Args:
        file: open, in the system's sense.
        key: the secret key.
        index: the book's.

    Raises:
        Unreadable: it cannot be decoded.
    """
    file.flush()
    # By this name a process that decodes it finds it too. The log goes on meanwhile.
    with open_audio(Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), alone=False) as audio:
        check = watermark.SelfCheck(audio.rate, key, index)
        left = SECONDS * audio.rate
        for block in audio.blocks():
            check.feed(block[:left].mean(axis=1))
            left -= len(block)
            if left <= 0:
                break
    return float(check.finish())

"""The watermark of a narration, and the files that its marked samples go to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

import watermark
from csm import SAMPLE_RATE
from csm.mastering.mastering import Mastering, pcm16
from narrator_daemon.narration.beginning import Beginning
from narrator_daemon.narration.companions import About, Chapter, Companion, Encoder
from narrator_daemon.narration.progress import Pace, Progress
from narrator_daemon.narration.steps import Steps
from narrator_daemon.wav import WavWriter
from watermark.marking.fingerprint import Fingerprinter

#: Of the whole narration, what is done once it is measured, and once the file is written; the rest
#: is for whoever takes it to its place.
MEASURED_SHARE, _WRITTEN_SHARE = 0.94, 0.98


@dataclass(frozen=True)
class Mark:
    """How a narration is watermarked.

    Attributes:
        key: the secret key; never shown.
        index: the book's index, 32 bits.
        strength_db: gain change a cell, in dB.
        self_check: whether the finished audio is searched for its own mark.
        public: whether the public mark, which everybody can find, goes beside it.
    """

    key: bytes = field(repr=False)
    index: int
    strength_db: float
    self_check: bool
    public: bool = False

    @property
    def public_db(self) -> float:
        """Gain change a cell of the public mark, in dB."""
        return watermark.DEFAULT_PUBLIC_DB if self.public else 0.0

    @property
    def together_db(self) -> float:
        """Gain change a cell of both, whose signs are independent, in dB."""
        return math.hypot(self.strength_db, self.public_db)


def write_beginning(wanted: Beginning, mastering: Mastering, mark: Mark, about: About) -> float:
    """Mark the beginning of a narration and write it; its length in seconds.

    Raises:
        EncodingFailed: it cannot be written.
    """
    embedder = _embedder(mark)
    with Encoder([wanted.companion], about, (), mastering.length) as encoder:
        for block in mastering.blocks():
            if len(marked := embedder.feed(block)):
                encoder.feed(pcm16(marked))
        encoder.feed(pcm16(embedder.finish()))
        encoder.finish()
    return mastering.length / SAMPLE_RATE


def _embedder(mark: Mark) -> watermark.Embedder:
    return watermark.Embedder(
        SAMPLE_RATE,
        mark.key,
        mark.index,
        strength_db=mark.strength_db,
        public_db=mark.public_db,
    )


def write(
    mastering: Mastering,
    mark: Mark,
    out: BinaryIO,
    encoder: Encoder | None,
    sound: Fingerprinter,
    steps: Steps,
    tell: Callable[[Progress], None],
) -> float | None:
    """Mark what was mastered and write it.

    Args:
        mastering: what is written.
        mark: the watermark.
        out: an empty file, where the WAV goes.
        encoder: what writes the companions; None where there are none.
        sound: what makes the fingerprint of it.
        steps: what the time is counted in.
        tell: told how far it is, and stops it by what it raises.

    Returns:
        The score of the mark, or None where it is not checked.

    Raises:
        OSError: the disk is full or fails.
        EncodingFailed: a companion cannot be written.
    """
    embedder = _embedder(mark)
    check = watermark.SelfCheck(SAMPLE_RATE, mark.key, mark.index) if mark.self_check else None
    pace = Pace(mastering.length)
    blocks = mastering.blocks()
    with WavWriter(out, mastering.length) as wav:
        more = True
        while more:
            with steps.step("mastering"):
                block = next(blocks, None)
            more = block is not None
            with steps.step("watermark"):
                marked = embedder.finish() if block is None else embedder.feed(block)
            if not len(marked):
                continue
            samples = pcm16(marked)
            with steps.step("write"):
                wav.write(samples)
            if encoder is not None:
                with steps.step("companions"):
                    encoder.feed(samples)
            with steps.step("fingerprint"):
                sound.feed(samples)
            if check is not None:
                with steps.step("self_check"):
                    check.feed(samples)
            pace.advance(len(samples))
            share = MEASURED_SHARE + (_WRITTEN_SHARE - MEASURED_SHARE) * pace.share
            tell(Progress("finishing", share, pace.seconds_left))
    out.flush()
    if encoder is not None:
        with steps.step("companions"):
            encoder.finish()
    if check is None:
        return None
    with steps.step("self_check"):
        return check.finish()


@contextmanager
def encoding(
    companions: Sequence[Companion],
    about: About,
    chapters: Sequence[Chapter],
    length: int,
    steps: Steps,
) -> Iterator[Encoder | None]:
    """What writes the companions, where there are any.

    Args:
        companions: the files.
        about: what they say of the book.
        chapters: where each begins.
        length: of the narration, in samples.
        steps: what the time of its start is counted in.
    """
    if not companions:
        yield None
        return
    with steps.step("companions"):
        encoder = Encoder(companions, about, chapters, length)
    with encoder:
        yield encoder


def is_weak(score: float, length: int) -> bool:
    """Whether a mark may be lost in a recompressed copy: its score is low, or the file short.

    Args:
        score: of the mark, as the self-check gave it.
        length: of the file, in samples.
    """
    return score < watermark.WEAK_SCORE or length < watermark.MIN_SECONDS * SAMPLE_RATE

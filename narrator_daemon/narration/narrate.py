"""One book's text in; finished WAV, duration and facts out."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import watermark
from csm import SAMPLE_RATE
from csm.mastering.levels import EMPHASIS_LU, SHOUT_LU, WHISPER_LU
from csm.mastering.mastering import (
    CEILING_DBTP,
    TARGET_LUFS,
    InnerPause,
    Mastering,
    Part,
    pcm16,
)
from csm.takes import notes as takes
from csm.text import (
    Cast,
    Delivery,
    Lexicon,
    NothingToSpeak,
    Pauses,
    Segment,
    latin_share,
    segment,
)
from csm.text.lexicon import EMPTY
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.errors import NarratorError
from narrator_daemon.narration import retake as retakes
from narrator_daemon.narration.beginning import Beginning, Opening
from narrator_daemon.narration.companions import (
    About,
    Chapter,
    Companion,
    Encoder,
    chapters_of,
)
from narrator_daemon.narration.notices import Placed, notice_segments, placed
from narrator_daemon.narration.progress import Pace, Progress
from narrator_daemon.narration.retake import CannotRetake, Retake
from narrator_daemon.narration.segment_store import KeptSegments, SegmentFile
from narrator_daemon.narration.speaking import SPEECH_SHARE, Speaking, readers_of
from narrator_daemon.narration.timing import TimedBy, WordTimes, without_words, word_times
from narrator_daemon.narration.wav import HEADER_BYTES, MOST_SAMPLES, WavWriter
from narrator_daemon.notice import Notice
from narrator_daemon.settings import Limits, Settings
from narrator_daemon.settings import Pauses as PauseSettings
from narrator_daemon.speech import SpeechEngine
from watermark.fingerprint import Fingerprinter

#: Of the whole narration, what is done once it is measured, and once the file is written; the rest
#: is for whoever takes it to its place.
_MEASURED_SHARE, _WRITTEN_SHARE = 0.94, 0.98

#: What the watermark adds, at 1 dB of strength: to the loudness in LU (it grows with the square),
#: and to the highest peaks in dB. Measured on the preview voice and on noise, limited and not, at
#: 1.5 and 3 dB: 0.03 to 0.09 and at most 0.73.
_MARK_LOUDNESS = 0.06
_MARK_PEAKS = 0.75

_DEFAULT_PAUSES = PauseSettings()
_UNKNOWN = About()

#: How far a segment's level may stay below and above the narration's, in LU, as the text asks.
_ALLOWED_LU = {
    Delivery.PLAIN: (-EMPHASIS_LU, EMPHASIS_LU),
    Delivery.LOUD: (-EMPHASIS_LU, SHOUT_LU),
    Delivery.QUIET: (-WHISPER_LU, EMPHASIS_LU),
}


class Unnarratable(NarratorError):
    """The text cannot be narrated, now or later."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Stopped(Exception):
    """The narration was not wanted any more."""


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


@dataclass(frozen=True)
class NarratedPart:
    """A segment in a finished narration.

    Attributes:
        text: as it was given to the engine.
        start_seconds: where its sound begins in the file.
        end_seconds: where it ends; the same as the start where it was silent.
        note: what the engine says of how it was made, as JSON values.
        segment: its sentences, with their places in the book's text and what follows each.
        sentence_seconds: where in the file each of its sentences begins.
        words: where in the file each of its words begins and ends, words being what spaces part in
            its text; empty where that was not asked for.
        timed_by: how the words' places are known.
        is_notice: whether it is the spoken notice and none of the book's; its places are those in
            the notice's own text.
    """

    text: str
    start_seconds: float
    end_seconds: float
    note: dict[str, Any]
    segment: Segment
    sentence_seconds: tuple[float, ...]
    words: tuple[tuple[float, float], ...] = ()
    timed_by: TimedBy = TimedBy.LENGTH
    is_notice: bool = False


@dataclass(frozen=True)
class Narration:
    """A finished narration, beside its file.

    Attributes:
        size: bytes of the WAV.
        duration_seconds: from its samples.
        parts: what was spoken, in order.
        facts: what it took, as JSON values: characters, words, segments, notices (how often the
            spoken notice is heard; left out where it is not), segmentsKept (how many of
            them an earlier attempt had spoken), takes (``csm.takes.notes.report``),
            secondsByStep, latinShare (0..1 of the letters; the voices know no other script),
            watermarkScore and watermarkWeak, whether it is too low, or the file too short, for a
            recompressed copy to be told (both None where it was not checked).
        chapters: where each begins, in order.
        sound: its fingerprint (``watermark.fingerprint``).
    """

    size: int
    duration_seconds: float
    parts: tuple[NarratedPart, ...]
    facts: dict[str, Any]
    chapters: tuple[Chapter, ...] = ()
    sound: bytes = field(default=b"", repr=False)

    @property
    def book_parts(self) -> tuple[NarratedPart, ...]:
        """The parts that are the book's, without the spoken notice."""
        return tuple(part for part in self.parts if not part.is_notice)


def check_text(text: object, limits: Limits) -> str:
    """The text to read, if there is one within the limits.

    Args:
        text: what the book holds, of any JSON type.
        limits: most characters (Unicode code points) and words (between white space).

    Raises:
        Unnarratable: it is not text, holds nothing, or too much; the message is for an admin.
    """
    if text is None:
        raise fault(ErrorCode.NO_TEXT, "The book has no text to read.")
    if not isinstance(text, str):
        kind = {bool: "a yes/no value", int: "a number", float: "a number", list: "a list"}.get(
            type(text), "a group of fields"
        )
        raise fault(ErrorCode.TEXT_NOT_STRING, f"The book's text is {kind}, not text.")
    if not text.strip():
        raise fault(ErrorCode.NO_TEXT, "The book's text is empty.")
    if len(text) > limits.max_characters:
        raise fault(
            ErrorCode.TEXT_TOO_LONG,
            f"The text has {len(text):,} characters; at most {limits.max_characters:,} can be "
            "read. Shorten it and ask again.",
        )
    words = len(text.split())
    if words > limits.max_words:
        raise fault(
            ErrorCode.TOO_MANY_WORDS,
            f"The text has {words:,} words; at most {limits.max_words:,} can be read. "
            "Shorten it and ask again.",
        )
    return text


def fault(code: ErrorCode, message: str) -> Unnarratable:
    """What is raised of a book that cannot be narrated as it is."""
    return Unnarratable(Failure(code, message))


def seed_of(input_hash: str, take: int) -> int:
    """The seed of one take: the same for its retries, another for the next press of the button."""
    digest = hashlib.sha256(f"{input_hash}:{take}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def fingerprint(engine: SpeechEngine, settings: Settings) -> str:
    """All that shapes a narration besides its text and take (``book.input_hash``)."""
    loudness = settings.mastering.loudness_lufs
    pauses = " ".join(f"{seconds:g}" for seconds in settings.pauses.model_dump().values())
    return f"{engine.name} {engine.settings_fingerprint} {loudness:g} LUFS pauses {pauses}"


def kept_name(engine: SpeechEngine, seed: int) -> str:
    """Under which name a narration's segments are kept until it is published."""
    made_by = f"{seed}\n{engine.name}\n{engine.settings_fingerprint}"
    return hashlib.sha256(made_by.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def narrate(
    text: object,
    out: BinaryIO,
    *,
    engine: SpeechEngine,
    limits: Limits,
    seed: int,
    mark: Mark,
    kept: KeptSegments,
    retake: Retake | None = None,
    loudness_lufs: float = TARGET_LUFS,
    pauses: PauseSettings = _DEFAULT_PAUSES,
    lexicon: Lexicon = EMPTY,
    cast: Cast | None = None,
    reader: Callable[[str], SpeechEngine] | None = None,
    words: bool = True,
    companions: Sequence[Companion] = (),
    about: About = _UNKNOWN,
    beginning: Beginning | None = None,
    notice: Notice | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_step: Callable[[str, float, float, bool], None] = lambda step, began, ended, failed: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Narration:
    """Read a text aloud: segments, speech, joins and level, watermark, WAV.

    Memory holds the text, one segment's audio and some measurements, however long the text is. The
    segments go to ``kept`` as they are spoken and stay there, for whoever tries again, until they
    are removed under their ``kept_name``.

    Args:
        text: what the book holds, of any JSON type.
        out: an empty file, where the WAV goes: RIFF, PCM 16-bit mono at 24 kHz.
        engine: loaded.
        limits: what is accepted.
        seed: decides the take (``seed_of``).
        mark: the watermark.
        kept: where finished segments are.
        retake: which segments are to be read anew beside those of an earlier take; None for all.
        loudness_lufs: integrated loudness by BS.1770.
        pauses: how long they are.
        lexicon: how names and rare words are said.
        cast: who reads what is said; None where one voice reads everything.
        reader: gives what reads in a voice of the cast; None where there is no cast.
        words: whether each word's place is to be found.
        companions: files that are written beside it, of the same samples.
        about: what these say of the book.
        beginning: of it, where that is wanted as soon as it is spoken, and no notice is.
        notice: what is said of the reader, and where.
        on_progress: told at every segment, and while the file is written.
        on_step: told of every turn of a step (text, speech, beginning, mastering, watermark,
            write, companions, fingerprint, self_check, words) when it began and ended, monotonic
            seconds, and whether by an exception; those from mastering to self_check take turns,
            and the beginning is a part of speech.
        stopped: asked as often.

    Raises:
        Unnarratable: the text's own fault.
        SpeechError: the engine's.
        Stopped: ``stopped`` said so.
        OSError: the disk is full or fails.
        EncodingFailed: a companion cannot be written.
    """

    def tell(progress: Progress) -> None:
        if stopped():
            raise Stopped
        on_progress(progress)

    def quiet(_progress: Progress) -> None:
        if stopped():
            raise Stopped

    clock = _Clock(on_step)
    with clock.step("text"):
        readable = check_text(text, limits)
        try:
            segments = segment(readable, lexicon=lexicon, cast=cast)
        except NothingToSpeak:
            raise fault(
                ErrorCode.NOTHING_SPEAKABLE, "The text holds no letters or digits that can be read."
            ) from None
    told = notice_segments(notice)
    texts = [part.text for part in (*segments, *told)]
    with kept.open(kept_name(engine, seed), texts) as spoken:
        lengths = Pauses(**pauses.model_dump())

        def mastered(order: Sequence[Placed], tell: Callable[[Progress], None]) -> Mastering:
            return Mastering(
                _Parts(order, spoken, lengths, tell),
                target_lufs=loudness_lufs - _MARK_LOUDNESS * mark.together_db**2,
                ceiling_dbtp=CEILING_DBTP - _MARK_PEAKS * mark.together_db,
            )

        def show_beginning(wanted: Beginning, count: int) -> None:
            begun = [Placed(each, index) for index, each in enumerate(segments[:count])]
            with clock.step("beginning"):
                wanted.show(_write_beginning(wanted, mastered(begun, quiet), mark, about))

        with clock.step("speech"):
            if retake is not None:
                try:
                    retake.check(len(segments))
                    retake.take_over(kept, spoken, texts)
                except CannotRetake as error:
                    raise Unnarratable(error.failure) from error
            before = len(spoken.indices)
            # A notice is spoken last and heard first: nothing is to be heard without it.
            opening = Opening(None if told else beginning, spoken, show_beginning)
            readers = readers_of([*segments, *told], engine, reader)
            speaking = Speaking(texts, spoken, readers, seed, opening, tell, check_length, words)
            speaking.speak(retake)
        seconds = [spoken.seconds(index) for index in range(len(segments))]
        order = placed(segments, told, seconds, notice)
        with clock.step("mastering"):
            mastering = mastered(order, tell)
        check_length(mastering.length)
        chapters = chapters_of(
            [part.segment for part in order if not part.is_notice],
            [
                sentences
                for part, sentences in zip(order, mastering.sentences, strict=True)
                if not part.is_notice
            ],
        )
        with _encoding(companions, about, chapters, mastering.length, clock) as encoder:
            sound = Fingerprinter(SAMPLE_RATE)
            score = _write(mastering, mark, out, encoder, sound, clock, tell)
        notes = [spoken.note(part.index) for part in order]
        timed: list[WordTimes] = [((), TimedBy.LENGTH)] * len(order)
        if words:
            with clock.step("words"):
                timed = [
                    word_times(number, part.index, part.segment.text, spoken, mastering)
                    for number, part in enumerate(order)
                ]
    notices = sum(part.is_notice for part in order) // max(len(told), 1)
    return Narration(
        size=HEADER_BYTES + 2 * mastering.length,
        duration_seconds=round(mastering.length / SAMPLE_RATE, 3),
        parts=tuple(
            NarratedPart(
                part.segment.text,
                start / SAMPLE_RATE,
                end / SAMPLE_RATE,
                retakes.told(takes.told(without_words(note))),
                part.segment,
                tuple(place / SAMPLE_RATE for place in places),
                *word_places,
                is_notice=part.is_notice,
            )
            for part, (start, end), note, places, word_places in zip(
                order, mastering.spans, notes, mastering.sentences, timed, strict=True
            )
        ),
        chapters=chapters,
        sound=sound.finish(),
        facts={
            "characters": len(readable),
            "words": len(readable.split()),
            "segments": len(segments),
            **({"notices": notices} if notices else {}),
            "segmentsKept": before,
            "latinShare": round(latin_share(readable), 2),
            "takes": takes.report(notes),
            "secondsByStep": {step: round(value, 3) for step, value in clock.seconds.items()},
            "watermarkScore": None if score is None else round(float(score), 2),
            "watermarkWeak": None if score is None else _is_weak(score, mastering.length),
        },
    )


def _write_beginning(wanted: Beginning, mastering: Mastering, mark: Mark, about: About) -> float:
    """Mark and write it; its length in seconds."""
    embedder = _embedder(mark)
    with Encoder([wanted.companion], about, (), mastering.length) as encoder:
        for block in mastering.blocks():
            if len(marked := embedder.feed(block)):
                encoder.feed(pcm16(marked))
        encoder.feed(pcm16(embedder.finish()))
        encoder.finish()
    return mastering.length / SAMPLE_RATE


def check_length(samples: int) -> None:
    """See that a WAV can hold so many samples.

    Raises:
        Unnarratable: it cannot.
    """
    if samples > MOST_SAMPLES:
        raise fault(
            ErrorCode.TEXT_TOO_LONG,
            "Read aloud, the text is longer than the "
            f"{MOST_SAMPLES / SAMPLE_RATE / 3600:.1f} hours that a WAV file can hold. "
            "Divide it and ask again.",
        )


class _Parts:
    """The spoken segments as mastering reads them."""

    def __init__(
        self,
        order: Sequence[Placed],
        spoken: SegmentFile,
        pauses: Pauses,
        tell: Callable[[Progress], None],
    ) -> None:
        self._order = order
        self._pauses = pauses
        self._spoken = spoken
        self._tell = tell
        self._share = SPEECH_SHARE

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int, /) -> Part:
        # How many readings there will be is not known: this one counts for a half.
        self._share += 0.5 * (_MEASURED_SHARE - SPEECH_SHARE) / len(self)
        self._tell(Progress("finishing", min(self._share, _MEASURED_SHARE)))
        segment = self._order[number].segment
        *inner, last = (
            InnerPause(share, self._pauses.before(sentence.follows))
            for share, sentence in zip(segment.shares, segment.sentences, strict=True)
        )
        return Part(
            self._spoken.samples(self._order[number].index),
            last.seconds,
            tuple(inner),
            _ALLOWED_LU[segment.delivery],
        )


def _embedder(mark: Mark) -> watermark.Embedder:
    return watermark.Embedder(
        SAMPLE_RATE,
        mark.key,
        mark.index,
        strength_db=mark.strength_db,
        public_db=mark.public_db,
    )


def _write(
    mastering: Mastering,
    mark: Mark,
    out: BinaryIO,
    encoder: Encoder | None,
    sound: Fingerprinter,
    clock: _Clock,
    tell: Callable[[Progress], None],
) -> float | None:
    """Mark what was mastered and write it; the score of the mark, where it is checked."""
    embedder = _embedder(mark)
    check = watermark.SelfCheck(SAMPLE_RATE, mark.key, mark.index) if mark.self_check else None
    pace = Pace(mastering.length)
    blocks = mastering.blocks()
    with WavWriter(out, mastering.length) as wav:
        more = True
        while more:
            with clock.step("mastering"):
                block = next(blocks, None)
            more = block is not None
            with clock.step("watermark"):
                marked = embedder.finish() if block is None else embedder.feed(block)
            if not len(marked):
                continue
            samples = pcm16(marked)
            with clock.step("write"):
                wav.write(samples)
            if encoder is not None:
                with clock.step("companions"):
                    encoder.feed(samples)
            with clock.step("fingerprint"):
                sound.feed(samples)
            if check is not None:
                with clock.step("self_check"):
                    check.feed(samples)
            pace.advance(len(samples))
            share = _MEASURED_SHARE + (_WRITTEN_SHARE - _MEASURED_SHARE) * pace.share
            tell(Progress("finishing", share, pace.seconds_left))
    out.flush()
    if encoder is not None:
        with clock.step("companions"):
            encoder.finish()
    if check is None:
        return None
    with clock.step("self_check"):
        return check.finish()


@contextmanager
def _encoding(
    companions: Sequence[Companion],
    about: About,
    chapters: Sequence[Chapter],
    length: int,
    clock: _Clock,
) -> Iterator[Encoder | None]:
    """What writes the companions, where there are any."""
    if not companions:
        yield None
        return
    with clock.step("companions"):
        encoder = Encoder(companions, about, chapters, length)
    with encoder:
        yield encoder


def _is_weak(score: float, length: int) -> bool:
    return score < watermark.WEAK_SCORE or length < watermark.MIN_SECONDS * SAMPLE_RATE


class _Clock:
    """Seconds by step."""

    def __init__(self, on_step: Callable[[str, float, float, bool], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._on_step = on_step

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except BaseException:
            self._on_step(name, started, time.monotonic(), True)
            raise
        ended = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + ended - started
        self._on_step(name, started, ended, False)

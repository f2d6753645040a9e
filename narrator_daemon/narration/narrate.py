"""One book's text in; finished WAV, duration and facts out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

from csm import SAMPLE_RATE
from csm.mastering.levels import EMPHASIS_LU, SHOUT_LU, WHISPER_LU
from csm.mastering.mastering import (
    CEILING_DBTP,
    TARGET_LUFS,
    InnerPause,
    Mastering,
    Part,
)
from csm.takes import notes as takes
from csm.text import (
    Cast,
    Delivery,
    Lexicon,
    NothingToSpeak,
    Pauses,
    Sentence,
    latin_share,
    segment,
)
from csm.text.lexicon import EMPTY
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.narration import retake as retakes
from narrator_daemon.narration.accepting import Unnarratable, check_length, check_text, fault
from narrator_daemon.narration.beginning import Beginning, Opening
from narrator_daemon.narration.companions import (
    About,
    Companion,
    chapters_of,
)
from narrator_daemon.narration.marking import (
    MEASURED_SHARE,
    Mark,
    encoding,
    is_weak,
    write,
    write_beginning,
)
from narrator_daemon.narration.names import Names
from narrator_daemon.narration.narrated import NarratedPart, Narration
from narrator_daemon.narration.notices import Placed, notice_segments, placed
from narrator_daemon.narration.progress import Progress
from narrator_daemon.narration.retake import CannotRetake, Retake
from narrator_daemon.narration.segment_store import KeptSegments, SegmentFile
from narrator_daemon.narration.speaking import SPEECH_SHARE, Speaking, readers_of
from narrator_daemon.narration.steps import Steps
from narrator_daemon.narration.timing import TimedBy, WordTimes, without_words, word_times
from narrator_daemon.notice import Notice
from narrator_daemon.settings import Limits, Settings
from narrator_daemon.settings import Pauses as PauseSettings
from narrator_daemon.speech import SpeechEngine
from narrator_daemon.wav import HEADER_BYTES

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


class Stopped(Exception):
    """The narration was not wanted any more."""


def seed_of(input_hash: str, take: int) -> int:
    """The seed of one take: the same for its retries, another for the next press of the button."""
    digest = hashlib.sha256(f"{input_hash}:{take}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def fingerprint(engine: SpeechEngine, settings: Settings) -> str:
    """All that shapes a narration besides its text and take (``book.input_hash``)."""
    loudness = settings.mastering.loudness_lufs
    pauses = " ".join(f"{seconds:g}" for seconds in settings.pauses.model_dump().values())
    marks = " pause marks" if settings.text.pause_marks else ""
    return f"{engine.name} {engine.settings_fingerprint} {loudness:g} LUFS pauses {pauses}{marks}"


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
    pause_marks: bool = False,
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
        lexicon: how names and rare words are said: by IPA where the engine takes it and an entry
            has some, else by spelling.
        cast: who reads what is said; None where one voice reads everything.
        pause_marks: whether ``[pause 2s]`` in the text is a pause.
        reader: gives what reads in a voice of the cast; None where there is no cast.
        words: whether each word's place is to be found.
        companions: files that are written beside it, of the same samples.
        about: what these say of the book.
        beginning: of it, where that is wanted as soon as it is spoken, and no notice is.
        notice: what is said of the reader, and where.
        on_progress: told at every segment, and while the file is written.
        on_step: told of every turn of a step (text, speech, beginning, mastering, watermark,
            write, companions, self_check, words) when it began and ended, monotonic seconds, and
            whether by an exception; those from mastering to self_check take turns, and the
            beginning is a part of speech.
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

    steps = Steps(on_step)
    with steps.step("text"):
        readable = check_text(text, limits)
        names = Names(engine, lexicon)
        try:
            segments = segment(readable, lexicon=names.spelled, cast=cast, pause_marks=pause_marks)
        except NothingToSpeak:
            raise fault(
                ErrorCode.NOTHING_SPEAKABLE, "The text holds no letters or digits that can be read."
            ) from None
    told = notice_segments(notice)
    texts = [part.text for part in (*segments, *told)]
    keys = names.keys(texts)
    with kept.open(kept_name(engine, seed), keys) as spoken:
        lengths = Pauses(**pauses.model_dump())

        def mastered(order: Sequence[Placed], tell: Callable[[Progress], None]) -> Mastering:
            return Mastering(
                _Parts(order, spoken, lengths, tell),
                target_lufs=loudness_lufs - _MARK_LOUDNESS * mark.together_db**2,
                ceiling_dbtp=CEILING_DBTP - _MARK_PEAKS * mark.together_db,
            )

        def show_beginning(wanted: Beginning, count: int) -> None:
            begun = [Placed(each, index) for index, each in enumerate(segments[:count])]
            with steps.step("beginning"):
                wanted.show(write_beginning(wanted, mastered(begun, quiet), mark, about))

        with steps.step("speech"):
            if retake is not None:
                try:
                    retake.check(len(segments))
                    retake.take_over(kept, spoken, keys)
                except CannotRetake as error:
                    raise Unnarratable(error.failure) from error
            before = len(spoken.indices)
            # A notice is spoken last and heard first: nothing is to be heard without it.
            opening = Opening(None if told else beginning, spoken, show_beginning)
            readers = readers_of([*segments, *told], engine, reader, names.saying)
            speaking = Speaking(texts, spoken, readers, seed, opening, tell, check_length, words)
            speaking.speak(retake)
        seconds = [spoken.seconds(index) for index in range(len(segments))]
        order = placed(segments, told, seconds, notice)
        with steps.step("mastering"):
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
        with encoding(companions, about, chapters, mastering.length, steps) as encoder:
            score = write(mastering, mark, out, encoder, steps, tell)
        notes = [spoken.note(part.index) for part in order]
        timed: list[WordTimes] = [((), TimedBy.LENGTH)] * len(order)
        if words:
            with steps.step("words"):
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
        facts={
            "characters": len(readable),
            "words": len(readable.split()),
            "segments": len(segments),
            **({"notices": notices} if notices else {}),
            "segmentsKept": before,
            "latinShare": round(latin_share(readable), 2),
            "takes": takes.report(notes),
            "secondsByStep": {step: round(value, 3) for step, value in steps.seconds.items()},
            "watermarkScore": None if score is None else round(float(score), 2),
            "watermarkWeak": None if score is None else is_weak(score, mastering.length),
        },
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
        self._share += 0.5 * (MEASURED_SHARE - SPEECH_SHARE) / len(self)
        self._tell(Progress("finishing", min(self._share, MEASURED_SHARE)))
        segment = self._order[number].segment
        *inner, last = (
            InnerPause(share, self._pause_after(sentence), sentence.pause is not None)
            for share, sentence in zip(segment.shares, segment.sentences, strict=True)
        )
        return Part(
            self._spoken.samples(self._order[number].index),
            last.seconds,
            tuple(inner),
            _ALLOWED_LU[segment.delivery],
        )

    def _pause_after(self, sentence: Sentence) -> float:
        if sentence.pause is not None:
            return sentence.pause
        return self._pauses.before(sentence.follows)

"""A narration's segments spoken, as far as they are not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeAlias

from csm import SAMPLE_RATE
from csm.text import Segment
from narrator_daemon.narration.beginning import Opening
from narrator_daemon.narration.progress import Pace, Progress
from narrator_daemon.narration.retake import Retake, example_of, noted
from narrator_daemon.narration.segment_store import SegmentFile
from narrator_daemon.narration.timing import with_words, with_words_of
from narrator_daemon.speech import Amended, SpeechEngine, SpeechError, Spoken

#: Of the whole narration, what is done once all is spoken.
SPEECH_SHARE = 0.9


#: What reads, and the places of the segments that it reads.
Readers: TypeAlias = list[tuple[SpeechEngine, frozenset[int]]]


def readers_of(
    segments: Sequence[Segment],
    engine: SpeechEngine,
    reader: Callable[[str], SpeechEngine] | None,
    saying: Callable[[SpeechEngine], SpeechEngine],
) -> Readers:
    """Who reads which segments, the narrator first.

    Args:
        segments: each with the name of its voice.
        engine: what reads for the narrator.
        reader: gives what reads in a voice.
        saying: gives the same, with names said as they are to be.
    """
    voices = [one.voice for one in segments]
    found = [(engine, frozenset(n for n, voice in enumerate(voices) if not voice))]
    for name in dict.fromkeys(filter(None, voices)):
        own = frozenset(n for n, voice in enumerate(voices) if voice == name)
        found.append((engine if reader is None else reader(name), own))
    return [(saying(one), own) for one, own in found if own]


class Speaking:
    """Speaks into the file of one narration.

    Args:
        texts: of all segments.
        spoken: where they go.
        readers: loaded.
        seed: of the take.
        opening: told after each.
        tell: told how far it is, and stops it by what it raises.
        check_length: told how many samples there are by now, and stops it by what it raises.
        words: whether the words are to be found in what is spoken.
    """

    def __init__(
        self,
        texts: list[str],
        spoken: SegmentFile,
        readers: Readers,
        seed: int,
        opening: Opening,
        tell: Callable[[Progress], None],
        check_length: Callable[[int], None],
        words: bool,
    ) -> None:
        self._texts = texts
        self._spoken = spoken
        self._readers = readers
        self._words = words
        self._seed = seed
        self._opening = opening
        self._tell = tell
        self._check_length = check_length
        self._words = words
        there = spoken.indices
        self._pace = Pace(sum(map(len, texts)), sum(len(texts[index]) for index in there))
        self._seconds = sum(spoken.seconds(index) for index in there)

    def speak(self, retake: Retake | None) -> None:
        """Speak what is not there yet.

        Args:
            retake: which segments are read anew, the others being there; None for all.

        Raises:
            SpeechError: the engine's, or it left segments out.
        """
        spoken = self._spoken
        voice_seed = self._seed if retake is None else retake.voice_seed(spoken)
        self._show()
        for engine, own in self._readers:
            self._speak(engine, own, retake, voice_seed)
        if len(spoken.indices) < len(self._texts):
            raise SpeechError(
                "engine_error",
                f"the engine {self._readers[0][0].name} spoke {len(spoken.indices)} of "
                f"{len(self._texts)} segments",
            )

    def _speak(
        self, engine: SpeechEngine, own: frozenset[int], retake: Retake | None, voice_seed: int
    ) -> None:
        """Let one voice speak its own."""
        texts, spoken = self._texts, self._spoken
        example = None
        if retake is not None and not own <= spoken.indices:
            example = example_of(engine, texts, voice_seed)
        # Asked for even where all is there: what was spoken may not have been compared yet. What
        # another voice reads is nothing to compare with.
        notes = {
            index: spoken.note(index) if index in own else {}
            for index in range(len(texts))
            if index in spoken or index not in own
        }
        with closing(engine.speak(texts, seed=self._seed, skip=notes, example=example)) as speech:
            for one in speech:
                if isinstance(one, Amended):
                    note = with_words_of(spoken.note(one.index), one.note)
                    spoken.amend(one.index, noted(note, voice_seed))
                # Another may be found odd beside the rest, and is not touched all the same.
                elif retake is None or one.index + 1 in retake.numbers:
                    self._add(one, engine, voice_seed)

    def _add(self, one: Spoken, engine: SpeechEngine, voice_seed: int) -> None:
        spoken, again = self._spoken, one.index in self._spoken
        before = spoken.seconds(one.index) if again else 0.0
        note = with_words(one, self._texts[one.index], engine) if self._words else one.note
        spoken.add(one.index, one.samples, noted(note, voice_seed))
        self._seconds += spoken.seconds(one.index) - before
        self._check_length(round(self._seconds * SAMPLE_RATE))
        if not again:
            self._pace.advance(len(self._texts[one.index]))
        self._show()

    def _show(self) -> None:
        share = SPEECH_SHARE * self._pace.share
        self._tell(Progress("speech", share, self._pace.seconds_left))
        self._opening.look()

"""A narration's segments spoken, as far as they are not there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from csm import SAMPLE_RATE
from narrator_daemon.narration import timing
from narrator_daemon.narration.beginning import Opening
from narrator_daemon.narration.progress import Pace, Progress
from narrator_daemon.narration.retake import Retake, example_of, noted
from narrator_daemon.narration.segment_store import SegmentFile
from narrator_daemon.speech import Amended, SpeechEngine, SpeechError, Spoken

#: Of the whole narration, what is done once all is spoken.
SPEECH_SHARE = 0.9


class Speaking:
    """Speaks into the file of one narration.

    Args:
        texts: of all segments.
        spoken: where they go.
        engine: loaded.
        seed: of the take.
        opening: told after each.
        tell: told how far it is, and stops it by what it raises.
        check_length: told how many samples there are by now, and stops it by what it raises.
        words: whether each word's place is to be found.
    """

    def __init__(
        self,
        texts: list[str],
        spoken: SegmentFile,
        engine: SpeechEngine,
        seed: int,
        opening: Opening,
        tell: Callable[[Progress], None],
        check_length: Callable[[int], None],
        words: bool,
    ) -> None:
        self._texts = texts
        self._spoken = spoken
        self._engine = engine
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
        texts, spoken = self._texts, self._spoken
        voice_seed, example = self._seed, None
        if retake is not None:
            voice_seed = retake.voice_seed(spoken)
            if len(spoken.indices) < len(texts):
                example = example_of(self._engine, texts, voice_seed)
        self._show()
        # Asked for even where all is there: what was spoken may not have been compared yet.
        notes = {index: spoken.note(index) for index in spoken.indices}
        with closing(
            self._engine.speak(texts, seed=self._seed, skip=notes, example=example)
        ) as speech:
            for one in speech:
                if isinstance(one, Amended):
                    note = timing.with_words_of(spoken.note(one.index), one.note)
                    spoken.amend(one.index, noted(note, voice_seed))
                # Another may be found odd beside the rest, and is not touched all the same.
                elif retake is None or one.index + 1 in retake.numbers:
                    self._add(one, voice_seed)
        if len(spoken.indices) < len(texts):
            raise SpeechError(
                "engine_error",
                f"the engine {self._engine.name} spoke {len(spoken.indices)} of {len(texts)} "
                "segments",
            )

    def _add(self, one: Spoken, voice_seed: int) -> None:
        spoken, again = self._spoken, one.index in self._spoken
        before = spoken.seconds(one.index) if again else 0.0
        text = self._texts[one.index]
        note = timing.noted(one, text, self._engine) if self._words else one.note
        spoken.add(one.index, one.samples, noted(note, voice_seed))
        self._seconds += spoken.seconds(one.index) - before
        self._check_length(round(self._seconds * SAMPLE_RATE))
        if not again:
            self._pace.advance(len(text))
        self._show()

    def _show(self) -> None:
        share = SPEECH_SHARE * self._pace.share
        self._tell(Progress("speech", share, self._pace.seconds_left))
        self._opening.look()

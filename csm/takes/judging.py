"""Is a spoken segment fit to be heard? A verdict on its sound, its codes and, if asked, its words.

from csm.audio import PACE
from csm.takes.judging import Judge
verdict = Judge(pace=PACE)("Call me Ishmael.", take.samples, codes=take.codes, ended=take.ended)
print(verdict.passed, verdict.faults, verdict.scores)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from csm.audio import CODE_FRAME_SECONDS, SAMPLE_RATE
from csm.takes import measures
from csm.takes.wording import divergence

#: Seconds beside the pace that a segment may be longer by (pauses, letters read one by one) and
#: shorter by.
_LONGER_SECONDS, _SHORTER_SECONDS = 1.0, 0.5
#: A phrase that the text says twice may be heard again for this many times its expected seconds.
_PHRASE_FACTOR = 1.5

_WORD = re.compile(r"[^\W_]+")


class Fault(StrEnum):
    """What can be wrong with a take."""

    CAPPED = "capped"
    SILENT = "silent"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CUT_OFF = "cut_off"
    LONG_SILENCE = "long_silence"
    MOSTLY_SILENT = "mostly_silent"
    REPEATED = "repeated"
    HELD_SOUND = "held_sound"
    CLIPPED = "clipped"
    WRONG_WORDS = "wrong_words"
    LOST_WORDS = "lost_words"


@dataclass(frozen=True)
class Thresholds:
    """What a take may be like. Figures are of 94 segments of the preview voice unless said.

    Attributes:
        fastest: least share of the expected seconds. People vary by a quarter, and the preview
            voice stays above 0.76; below this, words are missing.
        slowest: most times the expected seconds. The preview voice stays below it; a take that
            goes on after its text is over does not.
        longest_silence_seconds: most silence between two sounds. A reader's pause at a full stop
            is half a second, the preview voice's longest 0.66.
        most_silence: most share of silence between first and last sound; the preview voice's
            largest is 0.33.
        cut_off_db: how far the last 30 ms lie below the loud parts, at least. The end of a word
            is 25 dB and more below; the preview voice's ends are 73.
        most_repeated_seconds: most sound that comes again without the text saying so; below this,
            different words that sound alike are met.
        most_held_seconds: most time of one unchanging sound; the preview voice's longest is 0.36.
        most_clipped: most share of samples on flat tops. The preview voice has none, speech that is
            6 dB too loud 0.005 and more.
        most_wrong_words: most word error rate, where a recogniser listens. The packaged one hears
            up to 0.45 of a short, old-fashioned segment wrongly.
        most_lost_words: most words in a row that differ, where a recogniser listens. A mangled
            passage in a long segment hides in its word error rate.
    """

    fastest: float = 0.6
    slowest: float = 1.4
    longest_silence_seconds: float = 1.2
    most_silence: float = 0.5
    cut_off_db: float = 12.0
    most_repeated_seconds: float = 0.7
    most_held_seconds: float = 0.9
    most_clipped: float = 0.002
    most_wrong_words: float = 0.5
    most_lost_words: int = 6


@dataclass(frozen=True)
class Verdict:
    """What a judge found.

    Attributes:
        faults: by how much each threshold is missed that is missed: 1 and a little at the
            threshold, more beyond. Empty for a take that passed.
        scores: all that was measured, rounded: seconds, shares and counts, by name.
    """

    faults: dict[Fault, float]
    scores: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the take may be used as it is."""
        return not self.faults

    @property
    def badness(self) -> float:
        """0 for a take that passed; of two others, the one with less is to be preferred."""
        return sum(self.faults.values())


@dataclass(frozen=True)
class Judge:
    """Judges takes of one voice.

    Attributes:
        pace: seconds a character takes in this voice, spaces and pauses included.
        thresholds: what a take may be like.
        listen: from samples (float32 mono, ``[n]``) at ``csm.SAMPLE_RATE`` to the words heard in
            them; None judges no words. Called from several threads at once.
    """

    pace: float
    thresholds: Thresholds = Thresholds()
    listen: Callable[[NDArray[np.float32]], str] | None = None

    def __call__(
        self,
        text: str,
        samples: NDArray[np.float32],
        *,
        codes: ArrayLike | None = None,
        ended: bool = True,
    ) -> Verdict:
        """Judge one take.

        Args:
            text: what should be said.
            samples: float32 mono at ``csm.SAMPLE_RATE``, ``[n]``.
            codes: what they were decoded from, ``[frames, codebooks]``, where the engine has such.
            ended: whether the engine came to an end by itself, not at its cap.
        """
        found = _Findings()
        limits = self.thresholds
        pauses = measures.pauses(samples, SAMPLE_RATE)
        if not ended:
            found.faults[Fault.CAPPED] = 2.0
        if not pauses.sound_seconds:
            # Nothing else can be said of it, and nothing is worse.
            return Verdict({Fault.SILENT: 100.0}, {"seconds": 0.0})
        seconds, expected = pauses.sound_seconds, self.pace * len(text)
        found.scores |= {"seconds": round(seconds, 2), "pace": round(seconds / expected, 2)}
        found.at_least(Fault.TOO_SHORT, seconds + _SHORTER_SECONDS, limits.fastest * expected)
        found.at_most(Fault.TOO_LONG, seconds - _LONGER_SECONDS, limits.slowest * expected)
        found.at_most(
            Fault.LONG_SILENCE,
            found.score("longest_silence", pauses.longest_seconds),
            limits.longest_silence_seconds,
        )
        found.at_most(
            Fault.MOSTLY_SILENT, found.score("silence", pauses.share), limits.most_silence
        )
        found.at_least(Fault.CUT_OFF, found.score("end_db", -pauses.end_db), limits.cut_off_db)
        found.at_most(
            Fault.REPEATED,
            found.score("repeated", _repeated_seconds(samples, codes)),
            limits.most_repeated_seconds + self._repeats_of_text(text),
        )
        held = measures.held_seconds(samples, SAMPLE_RATE)
        found.at_most(Fault.HELD_SOUND, found.score("held", held), limits.most_held_seconds)
        clipped = measures.clipped_share(samples)
        found.at_most(Fault.CLIPPED, found.score("clipped", clipped), limits.most_clipped)
        if self.listen is not None:
            self._judge_words(text, self.listen(samples), found)
        return Verdict(found.faults, found.scores)

    def _judge_words(self, text: str, heard: str, found: _Findings) -> None:
        rate, longest = divergence(text, heard)
        found.at_most(
            Fault.WRONG_WORDS,
            found.score("wrong_words", rate),
            self.thresholds.most_wrong_words,
        )
        found.at_most(
            Fault.LOST_WORDS,
            found.score("lost_words", longest),
            self.thresholds.most_lost_words,
        )

    def _repeats_of_text(self, text: str) -> float:
        return self.pace * _PHRASE_FACTOR * longest_repeat(text)


class _Findings:
    def __init__(self) -> None:
        self.faults: dict[Fault, float] = {}
        self.scores: dict[str, float] = {}

    def score(self, name: str, value: float) -> float:
        self.scores[name] = round(value, 4)
        return value

    def at_most(self, fault: Fault, value: float, limit: float) -> None:
        if value > limit:
            self.faults[fault] = round(1 + (value - limit) / max(limit, 1e-3), 2)

    def at_least(self, fault: Fault, value: float, limit: float) -> None:
        if value < limit:
            self.faults[fault] = round(1 + (limit - value) / limit, 2)


def longest_repeat(text: str) -> int:
    """Characters of the longest phrase that ``text`` says more than once, whatever its marks."""
    words = [word.casefold() for word in _WORD.findall(text)]
    longest = 0
    for lag in range(1, len(words)):
        run = 0
        for word, later in zip(words, words[lag:], strict=False):
            run = run + len(word) + 1 if word == later else 0
            longest = max(longest, run)
    return longest


def _repeated_seconds(samples: NDArray[np.float32], codes: ArrayLike | None) -> float:
    if codes is None:
        return measures.said_again_seconds(samples, SAMPLE_RATE)
    return measures.repeated_codes(np.asarray(codes, dtype=np.int64)) * CODE_FRAME_SECONDS

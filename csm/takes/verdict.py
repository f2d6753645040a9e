"""What a judge finds wrong with a take, and how wrong."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can be wrong with a take."""

    # Of itself.
    CAPPED = "capped"
    SILENT = "silent"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    CUT_OFF = "cut_off"
    LONG_SILENCE = "long_silence"
    MOSTLY_SILENT = "mostly_silent"
    REPEATED = "repeated"
    SAID_TWICE = "said_twice"
    HELD_SOUND = "held_sound"
    TONELESS = "toneless"
    BACKWARDS = "backwards"
    CLIPPED = "clipped"
    CLICKS = "clicks"
    GAPS = "gaps"
    NOISY = "noisy"
    VOICE_CHANGES = "voice_changes"
    LEVEL_CHANGES = "level_changes"
    # Beside the narration's other takes.
    OTHER_VOICE = "other_voice"
    OTHER_PITCH = "other_pitch"
    OTHER_SOUND = "other_sound"
    OTHER_PACE = "other_pace"
    OTHER_ROOM = "other_room"
    # Of its words.
    WRONG_WORDS = "wrong_words"
    LOST_WORDS = "lost_words"
    MADE_UP_WORDS = "made_up_words"
    DOUBLED_WORDS = "doubled_words"


#: Faults that a voice or its recording can have, so that another take has them, too. A take with
#: none but these is drawn again only once it is known that the other takes lack them.
OF_A_VOICE = frozenset(
    {
        Fault.CLICKS,
        Fault.CLIPPED,
        Fault.CUT_OFF,
        Fault.BACKWARDS,
        Fault.LEVEL_CHANGES,
        Fault.NOISY,
        Fault.TONELESS,
        Fault.VOICE_CHANGES,
    }
)


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
    def is_of_the_take(self) -> bool:
        """Whether something is wrong with it that is no matter of its voice."""
        return not OF_A_VOICE.issuperset(self.faults)

    @property
    def badness(self) -> float:
        """0 for a take that passed; of two others, the one with less is to be preferred."""
        return sum(self.faults.values())


class Findings:
    """What is found while a take is judged."""

    def __init__(self) -> None:
        self.faults: dict[Fault, float] = {}
        self.scores: dict[str, float] = {}

    def score(self, name: str, value: float) -> float:
        """Note what was measured."""
        self.scores[name] = round(float(value), 4)
        return value

    def at_most(self, fault: Fault, value: float, limit: float, unit: float = 1e-3) -> None:
        """A fault where a value is above its limit.

        Args:
            fault: which.
            value: what was measured.
            limit: what it may be.
            unit: so much more is twice as bad, unless the limit is more.
        """
        if value > limit:
            missed = 1 + (value - limit) / max(abs(limit), unit)
            self.faults[fault] = round(max(self.faults.get(fault, 0.0), float(missed)), 2)

    def at_least(self, fault: Fault, value: float, limit: float) -> None:
        """A fault where a value is below its limit."""
        if value < limit:
            missed = 1 + (limit - value) / max(abs(limit), 1e-3)
            self.faults[fault] = round(max(self.faults.get(fault, 0.0), float(missed)), 2)

    @property
    def verdict(self) -> Verdict:
        """What was found."""
        return Verdict(self.faults, self.scores)

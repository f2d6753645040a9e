"""What is kept with a take, and what is told of a narration's takes, as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csm.takes import usual
from csm.takes.consistency import consistency
from csm.takes.usual import Profile
from csm.takes.verdict import Fault, Verdict

#: Segments that ``report`` tells of one by one.
MOST_REPORTED = 20
#: What a note holds for comparing takes, not for being told.
_INNER = frozenset({"profile", "alone"})

#: As it is kept; what is missing in it or is not as expected counts as not known.
Note = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the take of a segment, whether or not its sound is at hand.

    Attributes:
        verdict: on this take; it has faults where no draw was without.
        alone: the verdict on it by itself, before the others were known.
        profile: what of it is compared with others; None where it is silent.
        drawn: which draw it is, from 1.
        draws: how many were made.
    """

    verdict: Verdict
    alone: Verdict
    profile: Profile | None = None
    drawn: int = 1
    draws: int = 1

    @property
    def note(self) -> dict[str, Any]:
        """As it is kept: scores, faults, draws, and what others are compared with."""
        written: dict[str, Any] = {
            "scores": self.verdict.scores,
            "faults": _written(self.verdict),
            "drawn": self.drawn,
            "draws": self.draws,
        }
        if self.alone.faults != self.verdict.faults:
            written["alone"] = _written(self.alone)
        if self.profile is not None:
            written["profile"] = self.profile.written()
        return written


def read(note: Note) -> Known | None:
    """From ``Known.note``; None where a take was not judged, or by another version of this."""
    try:
        scores = {str(name): float(value) for name, value in note["scores"].items()}
        faults = _faults(note["faults"])
        return Known(
            Verdict(faults, scores),
            Verdict(_faults(note["alone"]) if "alone" in note else faults, scores),
            usual.read(note.get("profile")),
            int(note["drawn"]),
            int(note["draws"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def told(note: Note) -> dict[str, Any]:
    """What people are told of a note."""
    return {name: value for name, value in note.items() if name not in _INNER}


def report(notes: Sequence[Note]) -> dict[str, Any]:
    """Sum the notes on a narration's takes up, in bounded size.

    Args:
        notes: for each segment in its order what ``Known.note`` gave; others are left out.

    Returns:
        JSON values: segments ``judged``, those that ``passed`` and those drawn more than once
        (``redrawn``), all ``draws``; ``faults`` of the kept takes, counted by kind; up to 20 of
        those takes, the worst first, as ``failing``: ``segment`` (from 0), ``faults``, ``draws``;
        and ``consistency``, see ``csm.takes.consistency``, None where too little was said.
    """
    known = [(index, one) for index, note in enumerate(notes) if (one := read(note)) is not None]
    failing = [(index, one) for index, one in known if not one.verdict.passed]
    failing.sort(key=lambda each: -each[1].verdict.badness)
    steady = consistency([one.profile for _, one in known if one.profile is not None])
    return {
        "judged": len(known),
        "passed": len(known) - len(failing),
        "redrawn": sum(one.draws > 1 for _, one in known),
        "draws": sum(one.draws for _, one in known),
        "faults": dict(Counter(fault.value for _, one in failing for fault in one.verdict.faults)),
        "failing": [
            {
                "segment": index,
                "faults": sorted(fault.value for fault in one.verdict.faults),
                "draws": one.draws,
            }
            for index, one in failing[:MOST_REPORTED]
        ],
        "consistency": None if steady is None else steady.written,
    }


def _written(verdict: Verdict) -> dict[str, float]:
    return {fault.value: size for fault, size in verdict.faults.items()}


def _faults(written: Mapping[str, float]) -> dict[Fault, float]:
    return {Fault(name): float(size) for name, size in written.items()}

"""Whether a pace that changes inside a take could be told by when its words begin and end.

    python -m benchmarks.pace_inside CACHE

CACHE is that of `benchmarks.judges`, after a run of both of its halves. Clean clips, by the times
at which a recogniser hears their words; of a clip whose pace changes the times are computed from
these, and so are exact. Scored is the logarithm of the time for a letter in the first half by that
in the second, and the slope of it over the take. Told is what is found where the limit leaves a
hundredth or a tenth of the clean clips above it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.judges import Words
from benchmarks.judging.corpus import Clip, load
from benchmarks.reporting import report
from csm import SAMPLE_RATE

Times = NDArray[np.float64]

#: Fewer words say nothing of a change.
_LEAST_WORDS = 6
#: What a word takes beside its letters, in letters.
_EACH = 1.5


def _ramp(seconds: float, *, slower: bool) -> Callable[[Times], Times]:
    """As ``benchmarks.judging.spoiling`` does it: from 0.77 of the speed to 1.3, in six parts."""
    speeds = np.geomspace(0.77, 1.3, 6)[:: -1 if slower else 1]
    places = np.linspace(0, seconds, 7)
    return lambda times: np.interp(times, places, np.r_[0, np.cumsum(np.diff(places) / speeds)])


def _faster(seconds: float) -> Callable[[Times], Times]:
    """The second half at 1.5 times the speed."""
    places = np.array([0.5, 0.5 + 0.5 / 1.5]) * seconds
    return lambda times: np.interp(times, [0, 0.5 * seconds, seconds], [0, *places])


CHANGES: dict[str, Callable[[float], Callable[[Times], Times]]] = {
    "clean": lambda seconds: lambda times: times,
    "ramp, faster": lambda seconds: _ramp(seconds, slower=False),
    "ramp, slower": lambda seconds: _ramp(seconds, slower=True),
    "second half faster": _faster,
}


def score(times: Times, letters: Times) -> tuple[float, float] | None:
    """Of the halves, and the slope; None where too few words are there.

    Args:
        times: where words begin and end, in seconds, ``[words, 2]``.
        letters: of each word, ``[words]``.
    """
    long = times[:, 1] - times[:, 0]
    known = long > 0.02
    if known.sum() < _LEAST_WORDS:
        return None
    middle, long, letters = times[known].mean(axis=1), long[known], letters[known]
    place = (middle - middle.min()) / (middle.max() - middle.min())
    early = place < 0.5
    halves = np.log(
        long[early].sum() / letters[early].sum() * letters[~early].sum() / long[~early].sum()
    )
    slope = np.polyfit(place, np.log(long / letters), 1, w=np.sqrt(letters))[0]
    return float(halves), float(slope)


def _scores(clips: list[Clip], words: list[Times], change: str) -> Times:
    found = []
    for clip, times in zip(clips, words, strict=True):
        said = clip.text.split()
        if len(said) != len(times):
            continue
        letters = np.array([sum(map(str.isalnum, word)) + _EACH for word in said])
        changed = CHANGES[change](len(clip.samples) / SAMPLE_RATE)(times)
        if (one := score(changed, letters)) is not None:
            found.append(one)
    return np.abs(np.array(found))


def main(cache: Path) -> None:
    """Measure and report."""
    words, rows = Words(cache / "words.json"), []
    told = [clip for clip in load(cache / "corpus") if clip.text and words.has(clip)]
    for kind in ("people", "preview"):
        clips = [clip for clip in told if clip.kind == kind]
        times = [np.array(one) for one in words(clips)]
        scores = {change: _scores(clips, times, change) for change in CHANGES}
        for column, name in enumerate(("halves", "slope")):
            clean = scores["clean"][:, column]
            for share in (0.01, 0.1):
                limit = float(np.quantile(clean, 1 - share))
                rows.append(
                    {
                        "voices": kind,
                        "clips": len(clean),
                        "score": name,
                        "false %": 100 * share,
                        "limit": limit,
                    }
                    | {
                        f"{change} %": 100 * float(np.mean(scores[change][:, column] > limit))
                        for change in list(CHANGES)[1:]
                    }
                )
    report("pace_inside", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

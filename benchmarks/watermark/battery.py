"""The battery: every clip through every attack; detected, exact, quality, time. See README.md."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attacks import RATE, Sound, all_attacks
from corpus import Clip, load
from held_out import load_held_out
from pesq import pesq
from scipy.signal import resample_poly, stft

from watermark import DEFAULT_STRENGTH_DB, detect, embed, self_check

RESULTS = Path(__file__).parent.parent / "results" / "watermark"
KEY = bytes(range(7, 39))
#: Known books, the marked one among them.
BOOKS = range(1_000)
BOOK, SECOND, THIRD = 417, 418, 9


def log_spectral_distance(one: Sound, other: Sound) -> float:
    """Root-mean-square difference of log spectra in dB, over frames that are not silent."""
    a, b = (np.abs(stft(x, RATE, nperseg=1024)[2]) ** 2 for x in (one, other))
    loud = a.mean(axis=0) > 1e-4 * a.mean(axis=0).max()
    apart = 10 * np.log10((a[:, loud] + 1e-10) / (b[:, loud] + 1e-10))
    return float(np.sqrt(np.square(apart).mean(axis=0)).mean())


def quality(clip: Clip, marked: Sound) -> dict[str, float]:
    """PESQ-wb and log-spectral distance of a marked clip."""
    plain, after = (resample_poly(x, 2, 3) for x in (clip.samples, marked))
    return {
        "pesq_wb": float(pesq(16_000, plain, after, "wb")),
        "lsd_db": log_spectral_distance(clip.samples, marked),
    }


def copies(marked: Sound, clip: Clip, strength: float, neighbour: Clip) -> dict[str, Any]:
    """Every attacked copy as a function that makes it."""

    def beside(seconds: float) -> Sound:
        return neighbour.samples

    made: dict[str, Any] = {
        name: (lambda attack=attack: attack(marked)) for name, attack in all_attacks(beside).items()
    }

    def averaged(*books: int) -> tuple[Sound, int]:
        others = [embed(clip.samples, RATE, KEY, book, strength_db=strength) for book in books]
        return np.mean([marked, *others], axis=0, dtype=np.float32), RATE

    made["marked again"] = lambda: (embed(marked, RATE, KEY, SECOND, strength_db=strength), RATE)
    made["collusion of 2"] = lambda: averaged(SECOND)
    made["collusion of 3"] = lambda: averaged(SECOND, THIRD)
    return made


def run(
    clips: list[Clip], numbers: range, strength: float, public: float, only: str | None
) -> Iterator[dict[str, Any]]:
    """The result so far, after each clip."""
    rows: list[dict[str, Any]] = []
    qualities = []
    for number in numbers:
        clip = clips[number]
        seconds = len(clip.samples) / RATE
        begin = time.process_time()
        marked = embed(clip.samples, RATE, KEY, BOOK, strength_db=strength, public_db=public)
        embedding = (time.process_time() - begin) * 60 / seconds
        begin = time.process_time()
        check = self_check(marked, RATE, KEY, BOOK)
        checking = (time.process_time() - begin) * 60 / seconds
        qualities.append(
            {
                "clip": clip.name,
                "kind": clip.kind,
                "seconds": seconds,
                "self_check": check,
                "embed_cpu_per_60s": embedding,
                "check_cpu_per_60s": checking,
                **quality(clip, marked),
            }
        )
        neighbour = clips[(number + 3) % len(clips)]
        for name, make in copies(marked, clip, strength, neighbour).items():
            if only and only not in name:
                continue
            samples, rate = make()
            begin = time.process_time()
            blind = detect(samples, rate, KEY)
            spent = time.process_time() - begin
            # What decoding finds a candidate's score passes too: its threshold is lower.
            known = blind if blind.found else detect(samples, rate, KEY, BOOKS)
            books = (BOOK, SECOND, THIRD) if name.startswith(("marked", "collusion")) else (BOOK,)
            rows.append(
                {
                    "clip": clip.name,
                    "attack": name,
                    "seconds": len(samples) / rate,
                    "detected": known.book_index in books,
                    "exact": blind.book_index in books,
                    "wrong": (known.found and known.book_index not in books)
                    or (blind.found and blind.book_index not in books),
                    "score": known.score,
                    "speed": known.speed,
                    "tempo": known.tempo,
                    "pitch": known.pitch,
                    "cpu": spent,
                }
            )
        print(f"{clip.name}: {sum(not r['detected'] for r in rows)} missed so far", flush=True)
        yield {"strength_db": strength, "public_db": public, "quality": qualities, "rows": rows}


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    by_attack: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in result["rows"]:
        by_attack[row["attack"]].append(row)
    lines = [
        "| attack | clips | detected | exact | lowest score | median |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in by_attack.items():
        scores = [row["score"] for row in rows]
        detected, exact = (sum(row[key] for row in rows) for key in ("detected", "exact"))
        low, middle = min(scores), float(np.median(scores))
        lines.append(f"| {name} | {len(rows)} | {detected} | {exact} | {low:.1f} | {middle:.1f} |")
    rows = result["rows"]
    detected, exact = (np.mean([row[key] for row in rows]) for key in ("detected", "exact"))
    wrong = sum(row["wrong"] for row in rows)
    cpu = [row["cpu"] * 60 / max(row["seconds"], 20) for row in rows]
    lines.append(f"\n{len(rows)} copies: detected {detected:.2%}, exact {exact:.2%}, wrong {wrong}")
    q = result["quality"]
    for key in ("pesq_wb", "lsd_db", "embed_cpu_per_60s", "check_cpu_per_60s"):
        values = [each[key] for each in q]
        lines.append(f"{key}: mean {np.mean(values):.3f}, {min(values):.3f} to {max(values):.3f}")
    lines.append(f"detect_cpu_per_60s: mean {np.mean(cpu):.3f}, up to {max(cpu):.3f}")
    return "\n".join(lines)


def main() -> None:
    """Run, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strength", type=float, default=DEFAULT_STRENGTH_DB, help="dB")
    parser.add_argument("--public", type=float, default=0.0, help="dB of the public mark beside it")
    parser.add_argument("--only", help="attacks whose name holds this")
    parser.add_argument("--held-out", action="store_true", help="speech nothing was tuned on")
    parser.add_argument("--clips", type=int, nargs=2, help="from this number up to before that")
    parser.add_argument("--merge", type=Path, nargs="+", help="only join results of parts")
    parser.add_argument("--out", type=Path, default=RESULTS / "battery.json")
    arguments = parser.parse_args()
    if arguments.merge:
        parts = [json.loads(path.read_text()) for path in arguments.merge]
        result = {
            key: [each for part in parts for each in part[key]] for key in ("quality", "rows")
        }
        arguments.out.write_text(json.dumps(result, indent=1))
        print(table(result))
        return
    held_out = arguments.held_out
    clips = load_held_out(RESULTS / "held-out") if held_out else load(RESULTS / "clips")
    numbers = range(*(arguments.clips or (0, len(clips))))
    for result in run(clips, numbers, arguments.strength, arguments.public, arguments.only):
        arguments.out.write_text(json.dumps(result, indent=1))
    print(table(result))


if __name__ == "__main__":
    main()

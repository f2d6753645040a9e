"""A peer on the same clips and attacks: Perth's implicit mark, which has no key and no payload.

It is counted as detected where its confidence rounds to 1. See README.md for what to install.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import perth
from battery import RESULTS, copies, quality, table
from corpus import RATE, load
from scipy.signal import resample_poly


def main() -> None:
    """Run, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, help="the first so many clips")
    arguments = parser.parse_args()
    peer = perth.PerthImplicitWatermarker()
    clips = load(RESULTS / "clips")[: arguments.clips]
    rows: list[dict[str, Any]] = []
    qualities = []
    for number, clip in enumerate(clips):
        seconds = len(clip.samples) / RATE
        begin = time.process_time()
        marked = peer.apply_watermark(clip.samples, sample_rate=RATE)
        marked = np.asarray(marked, np.float32)[: len(clip.samples)]
        spent = (time.process_time() - begin) * 60 / seconds
        qualities.append(
            {"embed_cpu_per_60s": spent, "check_cpu_per_60s": 0.0, **quality(clip, marked)}
        )
        neighbour = clips[(number + 3) % len(clips)]
        for name, make in copies(marked, clip, 1.0, neighbour).items():
            if name.startswith(("marked", "collusion")):
                continue
            samples, rate = make()
            if rate != RATE:
                samples, rate = resample_poly(samples, RATE, rate).astype(np.float32), RATE
            begin = time.process_time()
            confidence = float(np.mean(peer.get_watermark(samples, sample_rate=rate, round=False)))
            spent = time.process_time() - begin
            rows.append(
                {
                    "clip": clip.name,
                    "attack": name,
                    "seconds": len(samples) / rate,
                    "detected": confidence > 0.5,
                    "exact": False,
                    "wrong": False,
                    "score": confidence,
                    "cpu": spent,
                }
            )
        print(clip.name, flush=True)
    result = {"peer": "perth", "quality": qualities, "rows": rows}
    (RESULTS / "peer.json").write_text(json.dumps(result, indent=1))
    print(table(result))


if __name__ == "__main__":
    main()

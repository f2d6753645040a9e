"""Peers on the same clips and attacks: what their own verdict is on every copy.

Perth's implicit mark has no key and no payload; it is counted as detected where its confidence
rounds to 1. VoiceSign's tells one identity at a time; it is counted where it says so itself.
Neither reads an index out of a file, so nothing of theirs is counted as exact. See README.md for
what to install.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from attacks import Sound
from battery import RESULTS, copies, quality, table
from corpus import RATE, load
from scipy.signal import resample_poly


@dataclass(frozen=True)
class Peer:
    """A mark of somebody else's.

    Attributes:
        embed: samples at ``RATE`` to marked ones.
        detect: samples at ``RATE`` to the peer's score and verdict.
    """

    embed: Callable[[Sound], Sound]
    detect: Callable[[Sound], tuple[float, bool]]


def perth_peer() -> Peer:
    """Resemble's Perth, implicit."""
    import perth

    marker = perth.PerthImplicitWatermarker()

    def detect(samples: Sound) -> tuple[float, bool]:
        confidence = np.mean(marker.get_watermark(samples, sample_rate=RATE, round=False))
        return float(confidence), bool(confidence > 0.5)

    return Peer(lambda samples: marker.apply_watermark(samples, sample_rate=RATE), detect)


def voicesign_peer() -> Peer:
    """VoiceSign with a shared secret."""
    import voicesign

    who = {"identity": "a publisher", "salt": "of this benchmark"}

    def file_of(samples: Sound) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, np.clip(samples, -1, 1), RATE, format="WAV", subtype="PCM_16")
        return file.getvalue()

    def embed(samples: Sound) -> Sound:
        signed = voicesign.sign(file_of(samples), **who)
        return soundfile.read(io.BytesIO(signed), dtype="float32")[0]

    def detect(samples: Sound) -> tuple[float, bool]:
        verdict = voicesign.verify(file_of(samples), **who)
        return float(verdict["confidence"]), bool(verdict["detected"])

    return Peer(embed, detect)


PEERS = {"perth": perth_peer, "voicesign": voicesign_peer}


def _fitted(samples: Sound, count: int) -> Sound:
    samples = np.asarray(samples, np.float32)[:count]
    return np.pad(samples, (0, count - len(samples)))


def main() -> None:
    """Run, print the table, write JSON after each clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--step", type=int, default=1, help="every so many clips")
    arguments = parser.parse_args()
    peer = PEERS[arguments.peer]()
    every = load(RESULTS / "clips")
    result: dict[str, Any] = {"peer": arguments.peer, "quality": [], "rows": []}
    for number in range(0, len(every), arguments.step):
        clip, neighbour = every[number], every[(number + 3) % len(every)]
        seconds = len(clip.samples) / RATE
        begin = time.process_time()
        marked = _fitted(peer.embed(clip.samples), len(clip.samples))
        spent = (time.process_time() - begin) * 60 / seconds
        result["quality"].append(
            {"embed_cpu_per_60s": spent, "check_cpu_per_60s": 0.0, **quality(clip, marked)}
        )
        unmarked = peer.detect(clip.samples)[1]
        for name, make in copies(marked, clip, 1.0, neighbour).items():
            if name.startswith(("marked", "collusion")):
                continue
            samples, rate = make()
            if rate != RATE:
                samples = resample_poly(samples, RATE, rate).astype(np.float32)
            begin = time.process_time()
            score, detected = peer.detect(samples)
            result["rows"].append(
                {
                    "clip": clip.name,
                    "attack": name,
                    "seconds": len(samples) / RATE,
                    "detected": detected,
                    "exact": False,
                    "wrong": unmarked,
                    "score": score,
                    "cpu": time.process_time() - begin,
                }
            )
        print(clip.name, "unmarked is taken for marked" if unmarked else "", flush=True)
        (RESULTS / f"peer-{arguments.peer}.json").write_text(json.dumps(result, indent=1))
    print(table(result))


if __name__ == "__main__":
    main()

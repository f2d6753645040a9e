"""Makes the public mark's test vectors, which other implementations are held against too.

``tests/data/public_mark`` holds small WAV files and ``vectors.json``: the pattern, the
files, and what a search gives. Run from the repository's root:
``.venv/bin/python tests/watermark/public_vectors.py``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from speechlike import RATE, speechlike

from watermark import embed, embed_public
from watermark.detection.features import features_of
from watermark.marking.public import best_offset
from watermark.public_pattern import CONSTANT, PERIOD, public_pattern

FOLDER = Path(__file__).parent.parent / "data" / "public_mark"
PLAIN = speechlike(5, seed=21)


def sounds() -> dict[str, NDArray[np.float32]]:
    """Every vector's samples by name, 24 kHz mono."""
    marked = embed_public(PLAIN, RATE)
    # A public mark beside a secret one, of a key that serves nothing else.
    both = embed(PLAIN, RATE, bytes(range(32)), 5, public_db=1.2)
    return {
        "plain": PLAIN,
        "marked": marked,
        "marked-from-1.1s": marked[int(1.1 * RATE) :],
        "both": both,
        "secret-only": embed(PLAIN, RATE, bytes(range(32)), 5),
    }


def expected(samples: NDArray[np.float32]) -> dict[str, Any]:
    """What a search at the pace of the original gives."""
    seconds = len(samples) / RATE
    features = features_of(samples / np.abs(samples).max(), RATE)
    score, offset = best_offset(features, 0.0, seconds, 1.0, 1.0)
    return {"seconds": round(seconds, 4), "score": round(score, 3), "offset_cells": offset}


def pattern_rows() -> list[str]:
    """Each cell of time as 15 hexadecimal digits, the highest bit for the lowest band."""
    bits = (public_pattern() < 0).astype(int)
    return [f"{int(''.join(map(str, row)), 2):015x}" for row in bits]


def main() -> None:
    """Write files and numbers."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, samples in sounds().items():
        path = FOLDER / f"{name}.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        back, _ = soundfile.read(path, dtype="float32")
        files[path.name] = expected(back)
    gains = embed_public(np.full(RATE, 0.5, np.float32) * np.cos(np.arange(RATE) * 0.7), RATE)
    vectors = {
        "constant": CONSTANT.decode(),
        "period_cells": PERIOD,
        "shake256_first_bytes": hashlib.shake_256(CONSTANT).hexdigest(16),
        "pattern": pattern_rows(),
        "cosine": {
            "samples": "0.5 * cos(0.7 n), n = 0 .. 23999, at 24000 Hz",
            "marked_at": [0, 1000, 4096, 12345, 23999],
            "marked": [round(float(gains[n]), 5) for n in (0, 1000, 4096, 12345, 23999)],
        },
        "files": files,
    }
    (FOLDER / "vectors.json").write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()

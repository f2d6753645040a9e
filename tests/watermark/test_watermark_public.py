"""The public mark: as specified, found without a key, told from sound that has none."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechlike import RATE, speechlike

from watermark import (
    Embedder,
    PublicDetector,
    PublicEmbedder,
    detect,
    detect_public,
    embed,
    embed_public,
)
from watermark.detection.features import features_of
from watermark.marking import steadiness
from watermark.marking.public import OFFSETS, best_offset
from watermark.public_pattern import public_pattern
from watermark.statistics import threshold

FOLDER = Path(__file__).parent.parent / "data" / "public_mark"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())
KEY = bytes(range(32))
PLAIN = speechlike(20, seed=31)
MARKED = embed_public(PLAIN, RATE)


def as_specified(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """What docs/public-mark.md says, step by step, at 24 kHz; slow and plain."""
    hop, size = 256, 1024
    stream = hashlib.shake_256(b"public mark 1: a machine spoke this").digest(256)

    def sign(frame: int, band: int) -> int:
        row = math.floor(frame * hop / 2048 + 1e-9) % 32
        word = int.from_bytes(stream[8 * row : 8 * row + 8], "big")
        return -1 if word >> (63 - band) & 1 else 1

    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / size) for n in range(size)]
    padded = np.concatenate([np.zeros(3 * hop), samples, np.zeros(2 * size)])
    out = np.zeros(len(padded))
    for frame in range(-1, len(samples) // hop + 3):
        begin = (frame - 2) * hop + 3 * hop
        spectrum = np.fft.rfft(padded[begin : begin + size] * window)
        for bin_, hertz in enumerate(np.arange(size // 2 + 1) * RATE / size):
            band = math.floor((hertz - 292.96875) / 93.75)
            if not 0 <= band < 60:
                continue
            smooth = (sign(frame - 1, band) + 2 * sign(frame, band) + sign(frame + 1, band)) / 4
            centre = 292.96875 + 93.75 * (band + 0.5)
            along = np.clip(math.log(centre / 300) / math.log(20), 0, 1)
            decibels = 1.2 * (0.56 + (1.21 - 0.56) * along) * smooth
            spectrum[bin_] *= 10 ** (decibels / 20)
        out[begin : begin + size] += np.fft.irfft(spectrum) * window / 1.5
    return np.clip(out[3 * hop : 3 * hop + len(samples)], -1, 1)


def test_the_mark_is_what_the_specification_says() -> None:
    sound = PLAIN[:RATE]
    assert np.abs(as_specified(sound) - embed_public(sound, RATE)).max() < 2e-5


def test_the_pattern_is_that_of_the_vectors() -> None:
    bits = (public_pattern() < 0).astype(int)
    rows = [f"{int(''.join(map(str, row)), 2):015x}" for row in bits]
    assert rows == VECTORS["pattern"]
    digest = hashlib.shake_256(VECTORS["constant"].encode()).hexdigest(16)
    assert digest == VECTORS["shake256_first_bytes"]


def test_the_cosine_is_that_of_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    # A held tone, on which this embedder would be cautious.
    monkeypatch.setattr(steadiness, "_LEAST", 1.0)
    cosine = 0.5 * np.cos(0.7 * np.arange(RATE))
    marked = embed_public(cosine.astype(np.float32), RATE)
    at = VECTORS["cosine"]["marked_at"]
    assert marked[at] == pytest.approx(VECTORS["cosine"]["marked"], abs=1e-4)


@pytest.mark.parametrize("name", VECTORS["files"])
def test_the_files_give_the_numbers_of_the_vectors(name: str) -> None:
    samples, rate = soundfile.read(FOLDER / name, dtype="float32")
    features = features_of(samples / np.abs(samples).max(), rate)
    score, offset = best_offset(features, 0.0, len(samples) / rate, 1.0, 1.0)
    expected = VECTORS["files"][name]
    assert score == pytest.approx(expected["score"], abs=0.01)
    assert offset == expected["offset_cells"]
    assert detect_public(samples, rate).found == (name not in ("plain.wav", "secret-only.wav"))


@pytest.mark.parametrize(
    ("copy", "rate"),
    [
        (MARKED[: 3 * RATE], RATE),
        (MARKED[5 * RATE + 999 : 9 * RATE], RATE),
        (resample_poly(MARKED, 2, 3).astype(np.float32), 16_000),
        (np.stack([resample_poly(MARKED, 147, 80)] * 2, axis=1).astype(np.float32), 44_100),
        (np.round(MARKED * 127).astype(np.int8), RATE),
        (resample_poly(MARKED, 25, 26).astype(np.float32), RATE),
        (MARKED * 0.01, RATE),
    ],
    ids=["3 s", "4 s from within", "16 kHz", "stereo", "8 bits", "4 % faster", "quiet"],
)
def test_it_is_found_in_copies(copy: NDArray[np.float32], rate: int) -> None:
    assert detect_public(copy, rate).found


def test_the_pace_of_a_faster_copy_is_told() -> None:
    found = detect_public(resample_poly(MARKED, 25, 26).astype(np.float32), RATE)
    assert (found.pace, found.pitch) == pytest.approx((1.04, 1.04), abs=0.005)


def test_both_marks_are_found_and_neither_alone_passes_for_the_other() -> None:
    both = embed(PLAIN, RATE, KEY, 77, public_db=1.2)
    assert detect(both, RATE, KEY).book_index == 77
    assert detect_public(both, RATE).found
    assert not detect(MARKED, RATE, KEY).found
    assert not detect_public(embed(PLAIN, RATE, KEY, 77), RATE).found
    assert not detect_public(PLAIN, RATE).found


def test_a_public_mark_of_none_leaves_the_secret_one_bit_for_bit() -> None:
    assert np.array_equal(
        embed(PLAIN[:RATE], RATE, KEY, 1), embed(PLAIN[:RATE], RATE, KEY, 1, public_db=0.0)
    )


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=6))
def test_streams_give_what_the_whole_gives(lengths: list[int]) -> None:
    stream = PublicEmbedder(RATE)
    parts, at = [], 0
    for length in lengths:
        parts.append(stream.feed(PLAIN[at : at + length]))
        at += len(PLAIN[at : at + length])
    parts.append(stream.finish())
    assert np.array_equal(np.concatenate(parts), embed_public(PLAIN[:at], RATE))


def test_half_of_the_allowance_goes_to_the_pace_of_the_original() -> None:
    found = detect_public(PLAIN[: 3 * RATE], RATE)
    assert found.false_positive_probability <= 1
    detector = PublicDetector(RATE, false_positive=1e-9)
    detector.feed(MARKED[: 3 * RATE])
    assert detector.finish().score > threshold(1e-9, 2 * OFFSETS)


@pytest.mark.parametrize("sound", [np.zeros(RATE * 5), np.full(RATE * 5, np.nan), np.zeros(0)])
def test_silence_and_what_is_no_sound_have_no_mark(sound: NDArray[np.float64]) -> None:
    found = detect_public(sound, RATE)
    assert (found.found, found.false_positive_probability) == (False, 1.0)


@pytest.mark.parametrize("strength", [-1.0, 7.0, math.nan])
def test_strengths_out_of_range_are_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="public_db"):
        embed_public(PLAIN[:100], RATE, public_db=strength)
    with pytest.raises(ValueError, match="public_db"):
        Embedder(RATE, KEY, 1, public_db=strength)


@pytest.mark.parametrize("limit", [0.0, 1.0, -1.0])
def test_limits_out_of_range_are_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="false_positive"):
        PublicDetector(RATE, false_positive=limit)

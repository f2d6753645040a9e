"""Streams: however they are fed, the same comes out, in memory that does not grow."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speechlike import RATE, speechlike

from watermark import Detector, Embedder, SelfCheck, Tracer, embed, score_along, self_check
from watermark.chunks import Chunks

KEY = bytes(range(32))
MARKED = embed(speechlike(9, seed=3), RATE, KEY, 3)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 700), max_size=30),
    st.floats(0.005, 0.05),
    st.floats(0, 0.05),
    st.sampled_from([8_000, 11_025]),
)
def test_chunks_are_the_stream_cut_in_even_lengths(
    sizes: list[int], seconds: float, more: float, rate: int
) -> None:
    stream = np.arange(sum(sizes), dtype=np.float32)
    chunks = Chunks(rate, seconds, seconds + more)
    given_out, at = [], 0
    for size in sizes:
        given_out += chunks.feed(stream[at : at + size])
        at += size
    given_out += chunks.finish()
    assert np.array_equal(np.concatenate([stream[:0], *(c.samples for c in given_out)]), stream)
    for number, chunk in enumerate(given_out):
        assert abs(chunk.begin - number * seconds * rate) <= 0.5 + 1e-6
        assert len(chunk.samples) <= round((seconds + more) * rate)
    assert all(abs(len(c.samples) - seconds * rate) <= 1 for c in given_out[:-1])


def test_checks_and_traces_do_not_depend_on_the_blocks() -> None:
    check, tracer = SelfCheck(RATE, KEY, 3), Tracer(RATE, KEY, [3, 4])
    for first in range(0, len(MARKED), 7_777):
        check.feed(MARKED[first : first + 7_777])
        tracer.feed(MARKED[first : first + 7_777])
    assert check.finish() == self_check(MARKED, RATE, KEY, 3) > 10
    mine, other = tracer.finish()
    whole = score_along(MARKED, RATE, KEY, 3)
    assert np.array_equal(mine.score, whole.score)
    assert mine.score.max() > 5 > np.abs(other.score).max()


def test_memory_does_not_grow_with_the_stream() -> None:
    second = np.full((96_000, 2), 0.1, np.float32)
    detector = Detector(96_000, KEY)
    detector.feed(second[:100])
    tracemalloc.start()
    peaks = []
    for _ in range(2):
        tracemalloc.reset_peak()
        for _ in range(160):
            # Silence is not searched, so what is measured is what is held.
            detector.feed(second * 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] < 300e6


def test_the_same_bits_come_from_another_process() -> None:
    program = (
        "import hashlib, sys; import numpy as np; from watermark import embed\n"
        "ramp = (np.arange(72_000) % 997 / 997 - 0.5).astype(np.float32)\n"
        f"print(hashlib.sha256(embed(ramp, {RATE}, bytes(range(32)), 3).tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    ramp = (np.arange(72_000) % 997 / 997 - 0.5).astype(np.float32)
    here = hashlib.sha256(embed(ramp, RATE, KEY, 3).tobytes()).hexdigest()
    assert done.stdout.strip() == here


@pytest.mark.parametrize("mutant", ["marks nothing", "marks another book", "stops half way"])
def test_a_mutant_embedder_is_caught_by_the_check(mutant: str) -> None:
    plain = speechlike(9, seed=3)
    right = self_check(MARKED, RATE, KEY, 3)
    if mutant == "stops half way":
        embedder = Embedder(RATE, KEY, 3)
        half = len(plain) // 2
        marked = np.concatenate([embedder.feed(plain[:half]), embedder.finish(), plain[half:]])
        assert self_check(marked, RATE, KEY, 3) < 0.75 * right
    else:
        marked = plain if mutant == "marks nothing" else embed(plain, RATE, KEY, 4)
        assert abs(self_check(marked, RATE, KEY, 3)) < 6

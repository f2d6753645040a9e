"""Embedding: same length, quiet, the same however it is fed, and there afterwards."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from speechlike import RATE, speechlike

from watermark import WEAK_SCORE, Embedder, WatermarkKeyError, check_key, embed, self_check

KEY = bytes(range(32))
SPEECH = speechlike(12, seed=1)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=12), st.sampled_from([1, 2]))
def test_blocks_of_any_size_give_the_same_samples(sizes: list[int], channels: int) -> None:
    samples = SPEECH if channels == 1 else np.stack([SPEECH, SPEECH[::-1]], axis=1)
    embedder = Embedder(RATE, KEY, 3, channels=channels)
    out, at = [], 0
    while at < len(samples):
        size = sizes[len(out) % len(sizes)]
        out.append(embedder.feed(samples[at : at + size]))
        at += size
    out.append(embedder.finish())
    assert np.array_equal(np.concatenate(out), embed(samples, RATE, KEY, 3))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=40), st.integers(0, 10**9))
def test_any_book_and_key_is_found_by_its_check_alone(book: int, key: bytes, other: int) -> None:
    if len(set(key)) == 1:
        key = key[:-1] + bytes([key[-1] ^ 1])
    marked = embed(SPEECH, RATE, key, book)
    assert self_check(marked, RATE, key, book) > WEAK_SCORE
    if other != book:
        assert abs(self_check(marked, RATE, key, other)) < 6
    assert abs(self_check(marked, RATE, key + b"x", book)) < 6


def test_what_embeds_nothing_is_caught() -> None:
    assert abs(self_check(SPEECH, RATE, KEY, 3)) < 6


def test_the_same_input_gives_the_same_bits_from_run_to_run() -> None:
    ramp = (np.arange(RATE * 4) % 997 / 997 - 0.5).astype(np.float32)
    first, second = embed(ramp, RATE, KEY, 3), embed(ramp.copy(), RATE, KEY, 3)
    assert hashlib.sha256(first.tobytes()).digest() == hashlib.sha256(second.tobytes()).digest()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_any_rate(rate: int) -> None:
    samples = speechlike(8, seed=2, rate=rate)
    marked = embed(samples, rate, KEY, 9)
    assert marked.shape == samples.shape
    assert self_check(marked, rate, KEY, 9) > WEAK_SCORE


@pytest.mark.parametrize("count", [0, 1, 100, 255, 256, 257, RATE])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_length(count: int, channels: int) -> None:
    samples = SPEECH[:count] if channels == 1 else np.stack([SPEECH[:count]] * channels, axis=1)
    marked = embed(samples, RATE, KEY, 3)
    assert marked.shape == samples.shape
    assert marked.dtype == np.float32
    assert np.isfinite(marked).all()


def test_silence_stays_silent_and_loud_sound_within_full_scale() -> None:
    assert not embed(np.zeros(RATE * 3), RATE, KEY, 3).any()
    loud = np.sign(SPEECH).astype(np.float32)
    assert np.abs(embed(loud, RATE, KEY, 3)).max() <= 1


def test_the_mark_is_far_below_the_speech() -> None:
    marked = embed(SPEECH, RATE, KEY, 3)
    assert np.square(marked - SPEECH).sum() < 0.03 * np.square(SPEECH).sum()


def test_integers_are_scaled() -> None:
    pcm = np.rint(SPEECH * 32767).astype(np.int16)
    assert np.allclose(embed(pcm, RATE, KEY, 3), embed(SPEECH, RATE, KEY, 3), atol=2e-4)


def test_starts_differ_from_book_to_book_so_that_books_do_not_add_up() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE * 10).astype(np.float32) * 0.1
    changes = [embed(noise, RATE, KEY, book) - noise for book in range(12)]
    likeness = np.corrcoef(np.stack(changes))
    assert np.abs(likeness[~np.eye(12, dtype=bool)]).max() < 0.1


@pytest.mark.parametrize("bad", [b"", b"short", b"fifteen bytes!!", b"a" * 32, "x" * 32, None])
def test_keys_that_cannot_serve_are_refused_without_being_told(bad: bytes) -> None:
    with pytest.raises(WatermarkKeyError) as refusal:
        check_key(bad)
    assert "short" not in str(refusal.value) or bad != b"short"
    with pytest.raises(WatermarkKeyError):
        embed(SPEECH, RATE, bad, 3)


@pytest.mark.parametrize("book", [-1, 2**32])
def test_an_index_out_of_range_is_refused(book: int) -> None:
    with pytest.raises(ValueError, match="book index"):
        embed(SPEECH, RATE, KEY, book)


@pytest.mark.parametrize(
    ("samples", "rate", "strength", "message"),
    [
        ([0.0, np.nan], RATE, 1.5, "not finite"),
        ([0.0], 7_999, 1.5, "sample rate"),
        ([0.0], RATE, 0.0, "strength_db"),
        ([0.0], RATE, 7.0, "strength_db"),
        ([[[0.0]]], RATE, 1.5, "shape"),
        ([1 + 2j], RATE, 1.5, "PCM"),
    ],
)
def test_bad_input_is_told(samples: object, rate: int, strength: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(samples, rate, KEY, 3, strength_db=strength)

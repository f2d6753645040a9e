"""The codec in batches, on a tiny Mimi."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import csm
from csm import SAMPLE_RATE
from csm.engine import codec

FRAME = 1920


@pytest.fixture(scope="module")
def mimi(tiny: Path) -> Any:
    return csm.load_checkpoint(str(tiny), device="cpu").codec


def random_codes(frames: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 2048, (frames, 32), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 1000))
def test_a_batch_decodes_as_each_alone(mimi: Any, lengths: list[int], seed: int) -> None:
    segments = [random_codes(frames, seed + place) for place, frames in enumerate(lengths)]
    together = codec.decode_batch(mimi, segments)
    for frames, segment, samples in zip(lengths, segments, together, strict=True):
        assert samples.dtype == np.float32 and samples.shape == (frames * FRAME,)
        alone = codec.decode(mimi, segment)
        assert np.abs(alone).max() > 0.01
        assert np.abs(samples - alone).max() < 2e-5


def test_large_batches_go_through_in_parts(mimi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "FRAMES_AT_ONCE", 12)
    sizes: list[tuple[int, ...]] = []
    decode = mimi.decode
    monkeypatch.setattr(
        mimi, "decode", lambda codes: sizes.append(tuple(codes.shape)) or decode(codes)
    )
    lengths = [3, 20, 6, 2, 6, 3]
    samples = codec.decode_batch(mimi, [random_codes(n, n) for n in lengths])
    assert [len(one) // FRAME for one in samples] == lengths
    assert sizes == [(1, 32, 20), (2, 32, 6), (3, 32, 3)]
    assert codec.decode_batch(mimi, []) == []


def test_encode_gives_a_frame_for_each_eighty_milliseconds(mimi: Any) -> None:
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32) * 0.1
    codes = codec.encode(mimi, noise)
    assert codes.shape == (13, 32) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 2048

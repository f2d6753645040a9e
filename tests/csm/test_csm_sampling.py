"""Noise, draws and endings, on their own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from torch import Tensor

from csm import Sampling
from csm.engine.kernels.draw import Sampler
from csm.engine.kernels.finish import ends
from csm.engine.operands.sampling import GOLDEN, mix_

CPU = torch.device("cpu")


def sampler(codes: int = 2048, codebooks: int = 32, **fields: Any) -> Sampler:
    return Sampler(Sampling(**fields), codebooks=codebooks, codes=codes, device=CPU)


def drawn(made: Sampler, logits: Tensor, count: int, *, first: bool = False) -> Tensor:
    """Codes of many frames of one segment, drawn from the same logits."""
    out = torch.empty(count, dtype=torch.int64)
    made.start(torch.full((count,), 7), torch.arange(count) + 100, torch.ones_like(out))
    made.draw(logits.expand(count, -1).clone(), 0 if first else 1, out)
    return out


def test_the_mixer_is_splitmix64() -> None:
    # Its published outputs for the seed 1234567.
    states = 1234567 + torch.arange(1, 4) * GOLDEN
    outputs = [value % 2**64 for value in mix_(states).tolist()]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_noise_is_gumbels() -> None:
    noise = sampler(temperature=1.0).noise(torch.tensor([1, 2**62]), torch.tensor([0, 5]))
    assert noise is not None and noise.shape == (32, 2, 2048) and noise.isfinite().all()
    # exp(-exp(-g)) of Gumbel noise is uniform.
    uniform = torch.exp(-torch.exp(-noise.double())).flatten().numpy()
    assert kstest(uniform, "uniform").pvalue > 0.01
    neighbours = torch.corrcoef(
        torch.stack([noise[:, :, :-1].flatten(), noise[:, :, 1:].flatten()])
    )
    assert abs(neighbours[0, 1]) < 0.02


def test_noise_follows_seed_frame_codebook_and_code_alone() -> None:
    made = sampler(codes=64, codebooks=4)
    seeds, frames = torch.tensor([5, 6, 5, 6, 5]), torch.tensor([0, 0, 1, 1, 0])
    noise = made.noise(seeds, frames)
    assert noise is not None
    assert torch.equal(noise[:, 0], noise[:, 4])
    assert len(noise[:, :4].flatten().unique()) == 4 * 4 * 64
    alone = made.noise(seeds[2:3], frames[2:3])
    assert alone is not None and torch.equal(alone[:, 0], noise[:, 2])
    assert sampler(temperature=0).noise(seeds, frames) is None


def test_draws_follow_temperature_and_top_k() -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0, -1.0]])
    codes = drawn(sampler(codes=5, temperature=2.0, top_k=3), logits, 20_000)
    counts = torch.bincount(codes, minlength=5)
    assert not counts[3:].any()
    expected = torch.softmax(torch.tensor([2.0, 1.5, 1.0]).double(), 0) * 20_000
    assert chisquare(counts[:3].numpy(), expected.numpy()).pvalue > 0.01


def test_codes_as_likely_as_the_last_of_the_top_are_drawn_too() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    assert set(drawn(sampler(codes=5, top_k=2), logits, 500).tolist()) == {0, 1, 2, 3}


def test_temperature_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[1.0, 3.0, 3.0]])
    assert (drawn(sampler(codes=3, temperature=0), logits, 4) == 1).all()


def test_codebook_0_cannot_end_too_early() -> None:
    made = sampler(codes=3, temperature=0, first_end=4)
    logits, out = torch.tensor([[9.0, 2.0, 1.0]]).repeat(2, 1), torch.ones(2, dtype=torch.int64)
    made.start(torch.tensor([0, 0]), torch.tensor([3, 4]), out)
    made.draw(logits, 0, out)
    assert out.tolist() == [1, 0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("codebook", [0, 31])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_logit_that_is_no_number_is_told_of(
    value: float, codebook: int, temperature: float
) -> None:
    made = sampler(codes=8, temperature=temperature)
    sound, out = torch.ones(3, dtype=torch.int64), torch.empty(3, dtype=torch.int64)
    made.start(torch.arange(3), torch.tensor([0, 9, 9]), sound)
    for number in range(32):
        logits = torch.zeros(3, 8)
        if number == codebook:
            logits[1, 5] = value
        made.draw(logits, number, out)
    made.end()
    # What forbids an early end in slot 0 is none of them.
    assert sound.tolist() == [1, 0, 1]


@pytest.mark.parametrize("guard", [True, False])
def test_the_guard_takes_the_likeliest_once_codebook_0_is_0(guard: bool) -> None:
    made = sampler(codes=3, codebooks=3, guard_end=guard)
    count = 400
    first, second, sound = torch.ones(3, count, dtype=torch.int64)
    made.start(torch.full((count,), 3), torch.arange(count) + 4, sound)
    made.draw(torch.zeros(count, 3), 0, first)
    made.draw(torch.tensor([[0.3, 0.2, 0.1]]).repeat(count, 1), 1, second)
    ending = first == 0
    assert 50 < ending.sum() < 250
    assert second[~ending].unique().tolist() == [0, 1, 2]
    assert second[ending].unique().tolist() == ([0] if guard else [0, 1, 2])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 32), st.booleans())
def test_an_ending_needs_codebook_0_and_enough_zeros(need: int, zeros: int, first: bool) -> None:
    codes = torch.ones(32, 2, dtype=torch.int64)
    start = 0 if first else 1
    codes[start : start + zeros, 0] = 0
    ended = ends(codes, Sampling(end_zeros=need))
    assert ended.tolist() == [int(first and zeros > 0 and zeros >= min(need, 32)), 0]


def test_caps_and_presets() -> None:
    sampling = Sampling()
    assert sampling.cap("a" * 100) == pytest.approx(100 * 0.07 * 1.6 + 1)
    reference = Sampling.reference()
    assert (reference.guard_end, reference.end_zeros, reference.first_end) == (False, 32, 1)
    assert reference.cap("a") == math.inf
    assert len({str(one) for one in (sampling, reference, Sampling(cap_seconds=2))}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_k": 0},
        {"first_end": 0},
        {"end_zeros": 0},
        {"seconds_per_character": 0.0},
        {"cap_factor": 0.0},
        {"cap_seconds": -1.0},
    ],
)
def test_what_is_no_sampling(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Sampling(**fields)

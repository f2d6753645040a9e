"""The codec in batches, on a tiny Mimi."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MimiConfig, MimiModel

import csm
from benchmarks.csm_ours import SMALL_CODEC
from csm import SAMPLE_RATE
from csm.engine import codec
from csm.engine.kernels import language
from csm.engine.kernels.convolution import convolve
from csm.engine.mimi import CodecDecoder

FRAME = 1920
#: Small, and shaped as Mimi is, with attention that looks back four frames.
CONFIG = {**SMALL_CODEC, "num_quantizers": 32, "sliding_window": 8}


@pytest.fixture(scope="module")
def mimi(tiny: Path) -> Any:
    return csm.load_checkpoint(str(tiny), device="cpu").codec


@pytest.fixture(scope="module")
def decoder(mimi: Any) -> codec.Decoder:
    return codec.choose_decoder("auto", mimi)


@pytest.fixture(scope="module")
def varied() -> Any:
    """A codec in which everything counts: nothing is 0, 1 or next to nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = MimiModel(MimiConfig(**CONFIG)).float().eval()
        for name, values in [*made.named_parameters(), *made.named_buffers()]:
            if name.endswith("embed_sum"):
                values.data.normal_()
            elif name.endswith("bias"):
                values.data.normal_(std=0.1)
            elif name.endswith(("cluster_usage", "scale", "norm.weight")):
                values.data.uniform_(0.5, 1.5)
            elif "self_attn" in name or "mlp" in name:
                values.data.normal_(std=0.2)
            elif "proj" in name:
                values.data.normal_(std=0.1)
    return made


def random_codes(frames: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 2048, (frames, 32), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 1000))
def test_a_batch_decodes_as_each_alone(
    decoder: codec.Decoder, lengths: list[int], seed: int
) -> None:
    segments = [random_codes(frames, seed + place) for place, frames in enumerate(lengths)]
    together = codec.decode_batch(decoder, segments)
    for frames, segment, samples in zip(lengths, segments, together, strict=True):
        assert samples.dtype == np.float32 and samples.shape == (frames * FRAME,)
        alone = codec.decode(decoder, segment)
        assert np.abs(alone).max() > 0.01
        assert np.abs(samples - alone).max() < 2e-5


def test_large_batches_go_through_in_parts(
    mimi: Any, decoder: codec.Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "FRAMES_AT_ONCE", 12)
    sizes: list[tuple[int, ...]] = []
    decode = mimi.decode

    def noting(codes: torch.Tensor) -> Any:
        sizes.append(tuple(codes.shape))
        return decode(codes)

    monkeypatch.setattr(mimi, "decode", noting)
    lengths = [3, 20, 6, 2, 6, 3]
    samples = codec.decode_batch(decoder, [random_codes(n, n) for n in lengths])
    assert [len(one) // FRAME for one in samples] == lengths
    assert sizes == [(1, 32, 20), (2, 32, 6), (3, 32, 3)]
    assert codec.decode_batch(decoder, []) == []


def test_encode_gives_a_frame_for_each_eighty_milliseconds(mimi: Any) -> None:
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32) * 0.1
    codes = codec.encode(mimi, noise)
    assert codes.shape == (13, 32) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 2048


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@settings(max_examples=12, deadline=None)
@given(count=st.integers(1, 3), frames=st.integers(1, 14), seed=st.integers(0, 1000))
def test_our_decoder_gives_what_theirs_gives(
    varied: Any, count: int, frames: int, seed: int
) -> None:
    codes = torch.stack([random_codes(frames, seed + number) for number in range(count)])
    theirs = codec.Theirs(varied, "the measure")(codes)
    # With room for some of them, and for none.
    decode = CodecDecoder(varied, convolve, room=20 * (seed % 2))
    # Of some length first: nothing of it is in the way of a longer one.
    decode(codes[:, : frames // 2 + 1])
    ours = decode(codes)
    # What the next pass computes in is not what this one gave.
    decode(codes.flip(1))
    assert ours.shape == theirs.shape == (count, frames * FRAME)
    assert theirs.std() > 0.01
    assert apart(ours, theirs) < 1e-4


def test_each_part_of_the_decoder_counts(varied: Any) -> None:
    """So that the test above would notice if one were left out."""
    codes = random_codes(12, 0)[None]
    theirs = codec.Theirs(varied, "the measure")
    before = theirs(codes)
    for name, values in varied.named_parameters():
        if "encoder" in name or "input_proj" in name or "downsample" in name:
            continue
        kept = values.data.clone()
        values.data.mul_(1.1)
        assert apart(theirs(codes), before) > 3e-4, name
        values.data.copy_(kept)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are tried where there is no GPU, in Triton's interpreter, on a short trial."""
    assert language.INTERPRETED
    monkeypatch.setattr(codec, "unfit", lambda setting, device: None)
    monkeypatch.setattr(codec, "TRIAL", (1, 1))


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.usefixtures("as_on_a_gpu")
def test_kernels_decode_where_they_agree(varied: Any) -> None:
    chosen = codec.choose_decoder("auto", varied)
    assert chosen.about == "fused kernels" and chosen.step == 1


@pytest.mark.parametrize("value", [1.0, float("nan")])
@pytest.mark.usefixtures("as_on_a_gpu")
def test_kernels_that_decode_something_else_are_not_used(
    varied: Any, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(CodecDecoder, "__call__", lambda self, codes: torch.full((1, FRAME), value))
    chosen = codec.choose_decoder("auto", varied)
    assert chosen.about.startswith("transformers: the kernels decoded something else")
    assert chosen(random_codes(2, 0)[None]).shape == (1, 2 * FRAME)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_codec_of_other_parts_is_left_to_transformers() -> None:
    made = MimiModel(MimiConfig(**CONFIG, use_conv_shortcut=True, num_residual_layers=2)).eval()
    chosen = codec.choose_decoder("auto", made)
    assert chosen.about.startswith("transformers: the kernels failed: ")
    assert chosen(random_codes(2, 0)[None]).shape == (1, 2 * FRAME)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("decoder", [CodecDecoder, codec.Theirs])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=str,
)
def test_no_memory_for_a_trial_is_no_reason_against_kernels(
    varied: Any, monkeypatch: pytest.MonkeyPatch, decoder: Any, error: Exception
) -> None:
    def short(*_: object) -> None:
        raise error

    monkeypatch.setattr(decoder, "__call__", short)
    with pytest.raises(type(error)):
        codec.choose_decoder("auto", varied)


def test_a_trial_is_measured_in_float32(varied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "unfit", lambda setting, device: None)
    settled: list[bool] = []
    monkeypatch.setattr(codec, "settle_float32", lambda: settled.append(True))

    def tried(_: Any) -> str:
        assert settled
        return "tried"

    monkeypatch.setattr(codec, "_tried", tried)
    assert codec.choose_decoder("auto", varied).about == "transformers: tried"


def test_why_transformers_decode_is_said(mimi: Any) -> None:
    assert codec.choose_decoder("auto", mimi).about == "transformers: on cpu"

"""Mimi: 32 codes a frame to 1,920 samples at 24 kHz, and back.

The codec computes in float32 whatever the model does: it is small, and in bfloat16 it hisses.
Decoding is by transformers' own modules on a CPU, and by ``csm.engine.mimi`` on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from csm.engine.device import settle_float32
from csm.engine.kernels import language
from csm.engine.kernels.choice import Setting, failed, unfit
from csm.engine.kernels.convolution import EITHER_WAY, FusedConvolve
from csm.engine.mimi import CodecDecoder
from csm.errors import ran_out_of_memory

#: cuDNN makes a plan for each length that it meets: lengths that it is to decode are filled up to a
#: multiple of so many frames, so that it meets few.
CUDNN_STEP = 32
#: Segments and frames that decoders are compared by: some that reach further back than Mimi's
#: attention does, which is 125 frames.
TRIAL = 2, 141
#: The most that they may differ there, as a share of the root mean square. What is left is the
#: rounding of float32: 2e-6 on an H100.
TOLERANCE = 1e-4
#: Frames, padding included, that one pass decodes: 61 s of audio. The released Mimi needs 2.3 MB of
#: memory for each while it decodes. A longer segment goes through alone.
FRAMES_AT_ONCE = 768
#: What the above comes to for the released Mimi, in bytes a frame (measured on a CPU).
BYTES_A_FRAME = 2_300_000


@torch.inference_mode()
def encode(codec: Any, samples: NDArray[np.float32]) -> Tensor:
    """Turn float32 mono at 24 kHz, shape ``[n]``, into codes, int64, ``[frames, codebooks]``.

    They are in the host's memory.
    """
    settle_float32()
    device = next(codec.parameters()).device
    audio = torch.from_numpy(samples).to(device)[None, None]
    codes: Tensor = codec.encode(audio).audio_codes[0].T.cpu().contiguous()
    return codes


class Decoder(Protocol):
    """What decodes.

    Attributes:
        about: what it is made of, in a few words for a log.
        step: frames to a multiple of which segments are to be filled up.
    """

    about: str
    step: int

    def __call__(self, codes: Tensor) -> Tensor:
        """Decode codes, int64 ``[B, T, codebooks]``, into float32 samples ``[B, n]``."""


class Theirs:
    """Decodes by transformers' own modules.

    Args:
        codec: transformers' ``MimiModel``.
        about: why not otherwise.
    """

    def __init__(self, codec: Any, about: str) -> None:
        self._codec = codec
        self.about = f"transformers: {about}"
        self.step = CUDNN_STEP if next(codec.parameters()).is_cuda else 1

    @torch.inference_mode()
    def __call__(self, codes: Tensor) -> Tensor:
        """See ``Decoder``."""
        audio: Tensor = self._codec.decode(codes.transpose(1, 2)).audio_values[:, 0]
        return audio


class Ours:
    """Decodes by this project's kernels.

    Args:
        codec: transformers' ``MimiModel``, on a GPU.

    Raises:
        Exception: its parts are not those of Mimi.
    """

    about = "fused kernels"
    step = 1

    def __init__(self, codec: Any) -> None:
        self._target = language.target(next(codec.parameters()).device)
        self._decode = CodecDecoder(codec, FusedConvolve(self._target), FRAMES_AT_ONCE)

    def __call__(self, codes: Tensor) -> Tensor:
        """See ``Decoder``."""
        return self._decode(codes)

    def apart(self, measure: Decoder, codec: Any) -> list[float]:
        """How far it is from another decoder, however a length has its convolutions cut."""
        found, convolve = [], self._decode.convolve
        for processors in EITHER_WAY:
            self._decode.convolve = FusedConvolve(replace(self._target, processors=processors))
            found.append(difference(self, measure, codec))
        self._decode.convolve = convolve
        return found


def choose_decoder(setting: Setting, codec: Any) -> Decoder:
    """Our decoder on a GPU where it gives what transformers' gives, else that.

    Args:
        setting: ``off`` is transformers' in any case.
        codec: transformers' ``MimiModel``.

    Raises:
        Exception: there is no memory to try it.
    """
    settle_float32()
    device = next(codec.parameters()).device
    reason = unfit(setting, device)
    if reason is not None:
        return Theirs(codec, reason)
    tried = _tried(codec)
    if device.type == "cuda":
        # What the trial took is of another stream than audio is decoded on.
        torch.cuda.empty_cache()
    return Theirs(codec, tried) if isinstance(tried, str) else tried


def _tried(codec: Any) -> Ours | str:
    """Our decoder, or why not."""
    try:
        ours = Ours(codec)
        apart = ours.apart(Theirs(codec, "the measure"), codec)
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        return failed(error)
    # Values that are no numbers are not near.
    far = [share for share in apart if not share <= TOLERANCE]
    return f"the kernels decoded something else, {far[0]:.1e} of it" if far else ours


def difference(one: Decoder, other: Decoder, codec: Any) -> float:
    """How far two decoders are apart, as a share of the other's root mean square."""
    count, frames = TRIAL
    generator = torch.Generator().manual_seed(0)
    shape = count, frames, codec.config.num_quantizers
    codes = torch.randint(0, codec.config.codebook_size, shape, generator=generator)
    codes = codes.to(next(codec.parameters()).device)
    measure = other(codes)
    return float((one(codes) - measure).square().mean().sqrt() / measure.square().mean().sqrt())


def decode(decoder: Decoder, codes: Tensor) -> NDArray[np.float32]:
    """Turn codes, ``[frames, codebooks]``, into float32 mono at 24 kHz within -1..1, ``[n]``."""
    return decode_batch(decoder, [codes])[0]


@torch.inference_mode()
def decode_batch(decoder: Decoder, segments: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Decode several segments, each as if it were alone to within rounding (some 1e-5).

    Mimi's decoder looks back only, so what pads a shorter segment on its right changes none of it.

    Args:
        decoder: from ``choose_decoder``.
        segments: codes, int64, each ``[frames, codebooks]``, frames > 0, all on the codec's device.

    Returns:
        float32 mono at 24 kHz within -1..1, ``[frames * 1920]``, in the order of the segments.
    """
    settle_float32()
    if not segments:
        return []
    step = decoder.step
    lengths = [-(-len(segment) // step) * step for segment in segments]
    decoded: dict[int, NDArray[np.float32]] = {}
    for places in _groups(lengths):
        group, length = [segments[place] for place in places], lengths[places[0]]
        codes = torch.stack([F.pad(one, (0, 0, 0, length - len(one))) for one in group])
        samples = decoder(codes).float().clamp(-1, 1).cpu().numpy()
        frame = samples.shape[1] // codes.shape[1]
        for place, segment, row in zip(places, group, samples, strict=True):
            decoded[place] = row[: len(segment) * frame].copy()
    return [decoded[place] for place in range(len(segments))]


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of segments that go through together: of like length, so that little is padding."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        # The first of a group is its longest.
        if group and lengths[group[0]] * (len(group) + 1) > FRAMES_AT_ONCE:
            yield group
            group = []
        group.append(place)
    if group:
        yield group

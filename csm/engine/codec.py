"""Mimi: 32 codes a frame to 1,920 samples at 24 kHz, and back.

The codec computes in float32 whatever the model does: it is small, and in bfloat16 it hisses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from csm.engine.device import settle_float32

#: On a GPU, lengths that are decoded are filled up to a multiple of so many frames: cuDNN makes a
#: plan for each length that it meets, and so meets few.
LENGTH_STEPS = {"cuda": 32}
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


def decode(codec: Any, codes: Tensor) -> NDArray[np.float32]:
    """Turn codes, ``[frames, codebooks]``, into float32 mono at 24 kHz within -1..1, ``[n]``."""
    return decode_batch(codec, [codes])[0]


@torch.inference_mode()
def decode_batch(codec: Any, segments: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Decode several segments, each as if it were alone to within rounding (some 1e-5).

    Mimi's decoder looks back only, so what pads a shorter segment on its right changes none of it.

    Args:
        codec: transformers' ``MimiModel``.
        segments: codes, int64, each ``[frames, codebooks]``, frames > 0, all on the codec's device.

    Returns:
        float32 mono at 24 kHz within -1..1, ``[frames * 1920]``, in the order of the segments.
    """
    settle_float32()
    if not segments:
        return []
    step = LENGTH_STEPS.get(segments[0].device.type, 1)
    lengths = [-(-len(segment) // step) * step for segment in segments]
    decoded: dict[int, NDArray[np.float32]] = {}
    for places in _groups(lengths):
        group, length = [segments[place] for place in places], lengths[places[0]]
        codes = torch.stack([F.pad(one, (0, 0, 0, length - len(one))) for one in group])
        audio: Tensor = codec.decode(codes.transpose(1, 2)).audio_values[:, 0]
        samples = audio.float().clamp(-1, 1).cpu().numpy()
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

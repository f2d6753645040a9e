"""Mimi: 32 codes a frame to 1,920 samples at 24 kHz, and back.

The codec computes in float32 whatever the model does: it is small, and in bfloat16 it hisses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Frames, padding included, that one pass decodes: 60 s of audio. The released Mimi needs 2.3 MB of
#: memory for each while it decodes. A longer segment goes through alone.
FRAMES_AT_ONCE = 750
#: What the above comes to for the released Mimi, in bytes a frame (measured on a CPU).
BYTES_A_FRAME = 2_300_000


@torch.inference_mode()
def encode(codec: Any, samples: NDArray[np.float32]) -> Tensor:
    """Turn float32 mono at 24 kHz, shape ``[n]``, into codes, int64, ``[frames, codebooks]``."""
    device = next(codec.parameters()).device
    audio = torch.from_numpy(samples).to(device)[None, None]
    codes: Tensor = codec.encode(audio).audio_codes[0].T.contiguous()
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
    decoded: dict[int, NDArray[np.float32]] = {}
    for places in _groups([len(segment) for segment in segments]):
        group = [segments[place] for place in places]
        codes = torch.nn.utils.rnn.pad_sequence(group, batch_first=True)
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

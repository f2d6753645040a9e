"""Mimi: 32 codes a frame to 1,920 samples at 24 kHz, and back.

The codec computes in float32 whatever the model does: it is small, and in bfloat16 it hisses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@torch.inference_mode()
def encode(codec: Any, samples: NDArray[np.float32]) -> Tensor:
    """Turn float32 mono at 24 kHz, shape ``[n]``, into codes, int64, ``[frames, codebooks]``."""
    device = next(codec.parameters()).device
    audio = torch.from_numpy(samples).to(device)[None, None]
    codes: Tensor = codec.encode(audio).audio_codes[0].T.contiguous()
    return codes


@torch.inference_mode()
def decode(codec: Any, codes: Tensor) -> NDArray[np.float32]:
    """Turn codes, ``[frames, codebooks]``, into float32 mono at 24 kHz within -1..1, ``[n]``."""
    audio: Tensor = codec.decode(codes.T[None]).audio_values[0, 0]
    samples: NDArray[np.float32] = audio.float().clamp(-1, 1).cpu().numpy()
    return samples

"""How much memory a checkpoint and its slots take, and how much of it each frame reads.

Computed from the configuration alone, so that it can be said of a machine before it is bought.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from csm.checkpoint.layout import AUDIO_EMBEDDING, DEPTH_EMBEDDING, expected_shapes
from csm.engine import codec

#: Values of the released Mimi, which are held in float32, and what a GPU holds beside them: its
#: decoder in the kernels' order, and the codebooks as transformers keeps them once they are used.
CODEC_PARAMETERS, DECODER_PARAMETERS = 96_200_000, 65_200_000
#: What decoding a group of segments takes while it lasts.
DECODING = codec.FRAMES_AT_ONCE * codec.BYTES_A_FRAME
#: What a GPU's driver, its libraries and their captured graphs hold beside tensors. An allowance,
#: to be replaced by what ``csm.engine.bench`` measures on a card.
GPU_OVERHEAD = 2 * 2**30
#: Slots at most where they are chosen. A frame of more gains little: of a GPU's it is the
#: arithmetic that then takes the time, and a CPU has little of it from the start.
MOST_ON_GPU, MOST_ON_CPU = 128, 8
#: The share of the free memory that is counted on.
USED = 0.9
#: Where a container's own limits are, control groups version 2.
CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Sizes:
    """Bytes that an engine holds.

    Attributes:
        weights: backbone, depth decoder, embeddings, heads and codec.
        slot: each slot, with room for as many positions as the model has.
        workspace: what comes and goes: audio being decoded, and on a GPU ``GPU_OVERHEAD``.
    """

    weights: int
    slot: int
    workspace: int

    def total(self, slots: int) -> int:
        """All of it, for so many slots."""
        return self.weights + self.workspace + slots * self.slot

    def slots_within(self, memory: int) -> int:
        """How many slots fit into so many bytes; 0 where not even one does."""
        return max(0, (memory - self.weights - self.workspace) // self.slot)


def sizes(config: Any, dtype: torch.dtype, device: torch.device) -> Sizes:
    """What a checkpoint takes.

    Args:
        config: transformers' ``CsmConfig``.
        dtype: of backbone and depth decoder.
        device: only its type is looked at.
    """
    shapes = expected_shapes(config)
    depth = config.depth_decoder_config
    values = sum(prod(shape) for name, shape in shapes.items() if name != DEPTH_EMBEDDING)
    # The depth decoder's embedding is held as its input projection leaves it.
    values += (depth.num_codebooks - 1) * depth.vocab_size * depth.hidden_size
    codec_values = CODEC_PARAMETERS
    if device.type == "cuda":
        codec_values += DECODER_PARAMETERS
    history = config.max_position_embeddings * config.num_codebooks * 2
    return Sizes(
        weights=values * dtype.itemsize + codec_values * 4,
        slot=config.max_position_embeddings * _cache_values(config) * dtype.itemsize
        + depth.num_codebooks * _cache_values(depth) * dtype.itemsize
        + history,
        workspace=DECODING + (GPU_OVERHEAD if device.type == "cuda" else 0),
    )


def bytes_a_frame(config: Any, dtype: torch.dtype, *, slots: int, context: int) -> int:
    """The least that one frame of all slots must read from memory.

    Every weight that is used, once for each step that waits for the one before: the depth decoder's
    layers once for each codebook but the first. And each slot's keys and values.

    Args:
        config: transformers' ``CsmConfig``.
        dtype: of weights and caches.
        slots: how many are in work.
        context: positions that each of them has behind it, on average.
    """
    weights = 0
    for name, shape in expected_shapes(config).items():
        if "embed_t" in name or name == AUDIO_EMBEDDING:
            continue  # A row of these is looked up.
        steps = config.num_codebooks - 1 if name.startswith("depth_decoder.model.layers.") else 1
        weights += prod(shape) * steps
    return (weights + slots * context * _cache_values(config)) * dtype.itemsize


def choose_slots(config: Any, dtype: torch.dtype, device: torch.device, free: int) -> int:
    """As many slots as suit a device: a power of two, at least 1.

    Args:
        config: transformers' ``CsmConfig``.
        dtype: of backbone and depth decoder.
        device: only its type is looked at.
        free: bytes that were free there before the checkpoint was loaded.
    """
    most = MOST_ON_GPU if device.type == "cuda" else MOST_ON_CPU
    fit = sizes(config, dtype, device).slots_within(int(free * USED))
    return 1 << (max(1, min(most, fit)).bit_length() - 1)


def free_memory(device: torch.device) -> int:
    """Bytes that are free there: of a GPU, or of this machine and of what its container may use."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        machine = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine * 1024, _free_in_container())


def _free_in_container() -> int:
    """What control group version 2 leaves to this container; very much where there is none."""
    group = CONTROL_GROUP
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(limit) - used + int(cached["inactive_file"])
    except (OSError, ValueError, KeyError):
        return sys.maxsize


def _cache_values(config: Any) -> int:
    """Keys and values of one position."""
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim)

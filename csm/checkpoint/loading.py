"""A checkpoint in the hub's layout to tensors on a device.

The weights are read from the safetensors files directly, one tensor at a time and the largest
first, so that no more is held than the result: the source is a mapped file that is let go after
each tensor.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils.tqdm import tqdm
from safetensors import SafetensorError, safe_open
from torch import Tensor

from csm.checkpoint import hub
from csm.checkpoint.layout import AUDIO_EMBEDDING, CODEC_PREFIX, DEPTH_EMBEDDING, expected_shapes
from csm.checkpoint.quiet import quiet_libraries
from csm.checkpoint.soundness import (
    LARGEST_WEIGHT,
    check_codec_layers,
    check_config,
    check_names,
    check_values,
)
from csm.checkpoint.transformers_parts import AutoTokenizer, CsmConfig, MimiModel
from csm.errors import CsmError, OutOfMemory, ran_out_of_memory


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        name: the hub id or folder it was asked for by.
        config: transformers' ``CsmConfig``.
        tensors: every weight but the codec's, by its name on the hub, in ``dtype`` on ``device``;
            see ``csm.checkpoint.layout``. The two names of the shared audio embedding give one
            tensor. Whoever rearranges a weight takes it out of here, so that it is not held twice.
        codec: transformers' ``MimiModel``, float32, in eval mode, on ``device``.
        tokenizer: the Llama 3.2 tokenizer with CSM's two audio tokens.
        device: where it computes, with its number where there can be several.
        dtype: of backbone and depth decoder; the codec's is always float32.
    """

    name: str
    config: Any
    tensors: dict[str, Tensor]
    codec: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype


def load_checkpoint(
    model: str,
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    token: str | None = None,
    revision: str | None = None,
) -> Checkpoint:
    """Load a CSM checkpoint in transformers' layout.

    A hub id is looked up in the local cache first: once its files are there, neither a network nor
    a token is needed, and nothing is asked of the hub. Download and load show their progress where
    standard error is a terminal.

    Args:
        model: a hub id such as ``sesame/csm-1b``, or a folder.
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: of backbone and depth decoder; None is ``usual_dtype``.
        token: for a gated repository; None takes ``HF_TOKEN`` or the stored login.
        revision: a commit, branch or tag of the repository; None for its newest. Only a commit is
            always the same.

    Raises:
        CsmError: it cannot be had, is damaged, or is no CSM; or there is no such device.
        OutOfMemory: it does not fit.
    """
    place = resolve_device(device)
    dtype = dtype or usual_dtype(place)
    with quiet_libraries():
        folder = hub.local_folder(model, token, revision)
        raw_config = hub.read_config(folder, model)
        files = hub.weight_files(folder, model, raw_config)
        config = _config(raw_config, model)
        tokenizer = _load_tokenizer(folder, model, config)
        try:
            weights = _Weights(files, model)
            codec = _load_codec(config, weights, place)
            tensors = _load_tensors(config, weights, place, dtype)
        except (RuntimeError, MemoryError) as error:
            if ran_out_of_memory(error):
                raise _does_not_fit(model, place) from error
            raise CsmError(
                f"{model} could not be brought to {place} ({type(error).__name__}: "
                f"{str(error)[:200]}): see whether the driver fits the installed torch, or take "
                "another device"
            ) from error
    return Checkpoint(model, config, tensors, codec, tokenizer, place, dtype)


def usual_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 wherever it is faster, as the weights were trained in it and it halves what is read.

    That is on a GPU, and on a CPU with bfloat16 arithmetic or with FBGEMM's kernels, which take the
    weights as float16 (see ``csm.engine.operands.linear``): on nearly all. float32 elsewhere, where
    each bfloat16 is converted in software.
    """
    fast = (
        device.type == "cuda"
        or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        or "fbgemm" in _quantized_engines()
    )
    return torch.bfloat16 if fast else torch.float32


def _quantized_engines() -> list[str]:
    return list(torch.backends.quantized.supported_engines)


def resolve_device(device: str) -> torch.device:
    """Turn a device setting into a device that is there.

    Raises:
        CsmError: the word is unknown, or there is no such GPU.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    match = re.fullmatch(r"(?:auto|cuda(?::(\d{1,4}))?)", device)
    if match is None:
        raise CsmError(f"unknown device {device!r}: use auto, cpu, cuda or cuda:N")
    number = int(match[1] or 0)
    if torch.version.cuda is None and torch.version.hip is None:
        raise CsmError(
            f"device {device} was asked for, but the installed torch is a CPU build: install a "
            "CUDA build of torch, or set the device to cpu or auto"
        )
    if not torch.cuda.is_available():
        raise CsmError(
            f"device {device} was asked for, but no GPU can be used: see whether nvidia-smi lists "
            "one, whether CUDA_VISIBLE_DEVICES hides it and whether the driver is new enough for "
            f"CUDA {torch.version.cuda}; or set the device to cpu or auto"
        )
    if number >= torch.cuda.device_count():
        raise CsmError(
            f"device {device} was asked for, but there are {torch.cuda.device_count()} GPUs, "
            "counted from cuda:0"
        )
    return torch.device("cuda", number)


class _Weights:
    """The tensors of some safetensors files, of which none is held here.

    Raises:
        CsmError: a file cannot be read.
    """

    def __init__(self, files: list[Path], model: str) -> None:
        self.model = model
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for file in files:
            with self._open(file) as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    self._files[name] = file
                    self.shapes[name] = tuple(opened.get_slice(name).get_shape())

    def read(self, name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
        """One tensor, copied out of its file."""
        # Opened anew for each: the pages of a mapped file count as resident until it is closed.
        with self._open(self._files[name]) as opened:
            tensor: Tensor = opened.get_tensor(name)
            if not tensor.is_floating_point():
                raise CsmError(
                    f"{self.model} holds {name} as {tensor.dtype}, as a quantised checkpoint does: "
                    "give the checkpoint as it was released, in float32 or bfloat16"
                )
            copy = tensor.to(device=device, dtype=dtype, copy=True)
        codec = name.startswith(CODEC_PREFIX)
        # The codec's sums over all that it has heard may be large.
        check_values(name, copy, self.model, math.inf if codec else LARGEST_WEIGHT)
        return copy

    @contextlib.contextmanager
    def _open(self, file: Path) -> Iterator[Any]:
        try:
            with safe_open(file, framework="pt") as opened:
                yield opened
        except (SafetensorError, OSError) as error:
            raise hub.damaged_file(file, self.model, error) from error


def _load_tensors(
    config: Any, weights: _Weights, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    expected = expected_shapes(config)
    if config.tie_codebooks_embeddings:
        # Either is enough where they are one.
        for one, other in (
            (AUDIO_EMBEDDING, DEPTH_EMBEDDING),
            (DEPTH_EMBEDDING, AUDIO_EMBEDDING),
        ):
            if one in weights.shapes and other not in weights.shapes:
                del expected[other]
    _check_shapes(expected, weights)
    own = {
        name: shape for name, shape in weights.shapes.items() if not name.startswith(CODEC_PREFIX)
    }
    check_names(own, expected_shapes(config), weights.model)
    # The largest first: the copy that is on its way is then small when much is held.
    order = sorted(expected, key=lambda name: -torch.Size(expected[name]).numel())
    tensors: dict[str, Tensor] = {}
    for name in tqdm(order, desc="Loading weights", unit="tensor"):  # type: ignore[no-untyped-call]
        tensors[name] = weights.read(name, device, dtype)
        if name in (AUDIO_EMBEDDING, DEPTH_EMBEDDING):
            _share_audio_embedding(tensors)
    for one, other in ((AUDIO_EMBEDDING, DEPTH_EMBEDDING), (DEPTH_EMBEDDING, AUDIO_EMBEDDING)):
        if one not in tensors:
            tensors[one] = tensors[other]
    return tensors


def _share_audio_embedding(tensors: dict[str, Tensor]) -> None:
    """Keep the audio embedding once where the file holds it twice."""
    one, other = tensors.get(AUDIO_EMBEDDING), tensors.get(DEPTH_EMBEDDING)
    if one is not None and other is not None and one is not other and torch.equal(one, other):
        tensors[DEPTH_EMBEDDING] = one


def _check_shapes(expected: Mapping[str, tuple[int, ...]], weights: _Weights) -> None:
    missing = sorted(set(expected) - set(weights.shapes))
    if missing:
        raise CsmError(
            f"{weights.model} lacks {len(missing)} of the weights of a CSM, {missing[0]} for one: "
            "copy the checkpoint again"
        )
    for name, shape in expected.items():
        if weights.shapes[name] != shape:
            raise CsmError(
                f"{weights.model} cannot be loaded: {name} has the shape {weights.shapes[name]} in "
                f"its file, where config.json says {shape}; copy the checkpoint again, config.json "
                "and weights from the same place"
            )


def _config(raw: dict[str, Any], model: str) -> Any:
    # Some versions of transformers write this and others refuse it; it says nothing that
    # tie_codebooks_embeddings does not.
    known = {key: value for key, value in raw.items() if key != "tie_word_embeddings"}
    try:
        config = CsmConfig.from_dict(known)
        expected_shapes(config)
        plain = all(
            not (part.attention_bias or part.mlp_bias) and part.hidden_act == "silu"
            for part in (config, config.depth_decoder_config)
        )
    except Exception as error:
        # Whatever transformers makes of a JSON object that says it is a CSM.
        raise CsmError(
            f"{model} cannot be loaded: its config.json is not one of a CSM "
            f"({type(error).__name__}: {str(error)[:300]}); copy it again"
        ) from error
    if not plain:
        raise CsmError(
            f"{model} cannot be loaded: its config.json asks for biases or for another activation "
            "than silu, which no released CSM has"
        )
    check_config(config, model)
    return config


def _load_codec(config: Any, weights: _Weights, device: torch.device) -> Any:
    state = {
        name.removeprefix(CODEC_PREFIX): weights.read(name, device, torch.float32)
        for name in weights.shapes
        if name.startswith(CODEC_PREFIX)
    }
    check_codec_layers(state, config.codec_config, weights.model)
    try:
        # transformers knows how its own names have changed since the files were written.
        codec, info = MimiModel.from_pretrained(
            None,
            config=config.codec_config,
            state_dict=state,
            dtype=torch.float32,
            output_loading_info=True,
        )
        missing = sorted(info["missing_keys"])
        codec = codec.to(device).eval()
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        # Shapes that are wrong, and whatever else transformers makes of them.
        raise CsmError(
            f"the codec of {weights.model} cannot be loaded ({type(error).__name__}: "
            f"{str(error)[:300]}); check that the folder holds one whole CSM checkpoint as "
            "transformers saves it"
        ) from error
    # transformers fills what it did not find with random numbers and goes on.
    if missing:
        raise CsmError(
            f"{weights.model} lacks {len(missing)} of the weights of its codec, {missing[0]} for "
            "one: copy the checkpoint again"
        )
    return codec


def _load_tokenizer(folder: Path, model: str, config: Any) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True)
    except Exception as error:
        raise CsmError(
            f"the tokenizer of {model} cannot be loaded ({type(error).__name__}): "
            f"copy tokenizer.json and tokenizer_config.json to {folder} again"
        ) from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise CsmError(
            f"the tokenizer of {model} names no bos_token and eos_token: "
            "copy the checkpoint's tokenizer_config.json again"
        )
    most = max(tokenizer.vocab_size - 1, tokenizer.bos_token_id, tokenizer.eos_token_id)
    if most >= config.text_vocab_size:
        raise CsmError(
            f"the tokenizer of {model} has ids up to {most}, and its model knows "
            f"{config.text_vocab_size} words: copy the checkpoint again, tokenizer.json, "
            "config.json and weights from the same place"
        )
    return tokenizer


def _does_not_fit(model: str, device: torch.device) -> OutOfMemory:
    return OutOfMemory(
        f"{model} does not fit into the memory of {device}: free some, or set the device to another"
    )

"""Weights from the hub's layout: a hub id or a local folder to a model on a device."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import torch
import transformers.utils.logging as transformers_logging
from huggingface_hub import get_token, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, CsmConfig, CsmForConditionalGeneration

from csm import CsmError, OutOfMemory

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
#: Where the weights are listed or lie, unless config.json's ``transformers_weights`` names it.
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        name: the hub id or folder it was asked for by.
        model: transformers' ``CsmForConditionalGeneration``, in eval mode on ``device``.
        tokenizer: the Llama 3.2 tokenizer with CSM's two audio tokens.
        device: where it computes, with its number where there can be several.
        dtype: of backbone and depth decoder; the codec's is always float32.
    """

    name: str
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype


class _Csm(CsmForConditionalGeneration):  # type: ignore[misc]
    # The codec alone stays in float32 where the rest is loaded in bfloat16.
    _keep_in_fp32_modules_strict = frozenset({"codec_model"})


def load_checkpoint(
    model: str,
    *,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    token: str | None = None,
) -> Checkpoint:
    """Load a CSM checkpoint in transformers' layout.

    A hub id is looked up in the local cache first: once its files are there, neither a network nor
    a token is needed, and nothing is asked of the hub. Download and load show their progress where
    standard error is a terminal.

    Args:
        model: a hub id such as ``sesame/csm-1b``, or a folder.
        device: ``auto`` (the first GPU, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: of backbone and depth decoder; None is bfloat16 on a GPU, as the weights were trained
            in it and it halves what a frame reads, and float32 on a CPU, as most CPUs have no
            bfloat16 arithmetic and emulate it.
        token: for a gated repository; None takes ``HF_TOKEN`` or the stored login.

    Raises:
        CsmError: it cannot be had, is damaged, or is no CSM; or there is no such device.
        OutOfMemory: it does not fit.
    """
    place = resolve_device(device)
    with _bars_only_at_a_terminal():
        folder = _local_folder(model, token)
        _check_config(folder, model)
        if dtype is None:
            dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
        network = _load_model(folder, model, place, dtype)
        tokenizer = _load_tokenizer(folder, model)
    return Checkpoint(model, network, tokenizer, place, dtype)


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


def _local_folder(model: str, token: str | None) -> Path:
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(model):
        raise CsmError(
            f"there is no folder {model}, and it is no hub id either (those look like "
            "sesame/csm-1b): give one of the two as the model"
        )
    try:
        return _hub_folder(model, token, local_only=True)
    except EntryNotFoundError:
        pass
    try:
        return _hub_folder(model, token, local_only=False)
    except CsmError:
        raise
    except Exception as error:
        # The hub's client lets some errors of its HTTP library through, and changes that library.
        raise CsmError(_hub_advice(model, token, error)) from error


def _hub_folder(model: str, token: str | None, *, local_only: bool) -> Path:
    """Get just the files that are needed into the hub's cache and return their folder.

    Raises:
        EntryNotFoundError: a file is not there: in the cache, if ``local_only``.
    """

    def get(name: str, revision: str | None = None) -> Path:
        return Path(
            hf_hub_download(
                model, name, revision=revision, token=token, local_files_only=local_only
            )
        )

    config_file = get("config.json")
    # All other files of the same commit, even if the repository changes meanwhile.
    commit = config_file.parent.name
    for name in TOKENIZER_FILES:
        get(name, commit)
    named = _read_json(config_file, model).get("transformers_weights")
    first, *others = [named] if named else WEIGHT_FILES
    try:
        weights = get(first, commit)
    except EntryNotFoundError as error:
        # Look on for the other name only where the answer was no, not where there was no answer.
        unanswered = isinstance(error, LocalEntryNotFoundError) and not local_only
        if unanswered or not others:
            raise
        weights = get(others[0], commit)
    if weights.name.endswith(".index.json"):
        for shard in _shards(weights, model):
            get(shard, commit)
    return config_file.parent


def _hub_advice(model: str, token: str | None, error: Exception) -> str:
    page = f"https://huggingface.co/{model}"
    known = token or get_token()
    if isinstance(error, GatedRepoError):
        if known:
            return (
                f"{model} is gated and the token's account has no access to it: accept the terms "
                f"at {page} with that account, or set HF_TOKEN to a token of one that has, with "
                "the right to read gated repositories"
            )
        return (
            f"{model} is gated and there is no token: accept the terms at {page}, make a read "
            "token at https://huggingface.co/settings/tokens and set HF_TOKEN to it"
        )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub knows no model {model}, or hides it from "
            f"{'this token' if known else 'requests without a token'}, and there is no folder of "
            "that name here: check the spelling, and HF_TOKEN if it is private"
        )
    if status in {401, 403}:
        return (
            f"the hub refused the token for {model}: it is wrong, expired or may not read this "
            "model; make a new read token at https://huggingface.co/settings/tokens and set "
            "HF_TOKEN to it"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full, {model} could not be saved: free some space or set HF_HOME"
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EROFS}:
        return (
            f"{error.filename} may not be written, {model} could not be saved: "
            "set HF_HOME to a folder that this user may write to"
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return (
            f"{model} on the hub lacks a file that a CSM checkpoint needs: config.json, "
            "tokenizer.json, tokenizer_config.json and safetensors weights, as transformers saves "
            "them"
        )
    offline = " (HF_HUB_OFFLINE is set)" if huggingface_hub.constants.HF_HUB_OFFLINE else ""
    return (
        f"{model} is not in the local cache and the hub cannot be reached{offline}: check the "
        "network and proxy settings, or copy the checkpoint here and give its folder as the model"
    )


def _check_config(folder: Path, model: str) -> None:
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise CsmError(
            f"the folder {model} holds no config.json: give the folder of a CSM checkpoint as "
            "transformers saves it (config.json, tokenizer.json, safetensors weights)"
        )
    config = _read_json(config_file, model)
    if config.get("model_type") != "csm":
        raise CsmError(
            f"{model} is no CSM checkpoint for transformers: its config.json says model_type "
            f"{config.get('model_type')!r}, where csm is needed"
        )
    for name in TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise CsmError(f"{model} holds no {name}: copy the checkpoint's tokenizer there")
    named = config.get("transformers_weights")
    found = [name for name in ([named] if named else WEIGHT_FILES) if (folder / name).is_file()]
    if not found:
        raise CsmError(
            f"{model} holds no weights: {named or ' or '.join(WEIGHT_FILES)} is missing from "
            f"{folder}; copy the checkpoint again"
        )
    shards = [found[0]]
    if found[0].endswith(".index.json"):
        shards = _shards(folder / found[0], model)
    for shard in shards:
        _check_safetensors(folder / shard, model)


def _read_json(file: Path, model: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CsmError(f"{model} is damaged: {file} is no readable JSON ({error})") from error
    if not isinstance(content, dict):
        raise CsmError(f"{model} is damaged: {file} holds no JSON object")
    return content


def _shards(index_file: Path, model: str) -> list[str]:
    places = _read_json(index_file, model).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(shard, str) and Path(shard).name == shard for shard in places.values()
    ):
        raise CsmError(f"{model} is damaged: {index_file} lists no weight files of this folder")
    return sorted(set(places.values()))


def _check_safetensors(file: Path, model: str) -> None:
    """Read the header, which is checked against the file's length: a truncated file shows here."""
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise CsmError(
            f"{model} is incomplete or damaged: {file} cannot be read ({error}); delete it and "
            "load the checkpoint again, or copy it again"
        ) from error


def _load_model(folder: Path, model: str, device: torch.device, dtype: torch.dtype) -> Any:
    try:
        config = CsmConfig.from_pretrained(folder)
        network, info = _Csm.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
        network = network.to(device).eval()
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(
            f"{model} does not fit into the memory of {device}: free some, "
            "or set the device to another"
        ) from error
    except Exception as error:
        # Whatever transformers makes of a folder that looked right: shapes, values, names.
        raise CsmError(
            f"{model} cannot be loaded ({type(error).__name__}: {str(error)[:300]}); check that "
            "the folder holds one whole CSM checkpoint as transformers saves it"
        ) from error
    # transformers fills what it did not find with random numbers and goes on.
    missing = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if missing:
        raise CsmError(
            f"{model} lacks {len(missing)} of the weights of a CSM, {missing[0]} for one: "
            "copy the checkpoint again"
        )
    return network


def _load_tokenizer(folder: Path, model: str) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
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
    return tokenizer


@contextlib.contextmanager
def _bars_only_at_a_terminal() -> Iterator[None]:
    if sys.stderr.isatty():
        yield
        return
    hub_shown = not are_progress_bars_disabled()
    transformers_shown = transformers_logging.is_progress_bar_enabled()
    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if hub_shown:
            enable_progress_bars()
        if transformers_shown:
            transformers_logging.enable_progress_bar()

"""Finding a checkpoint: a hub id or a folder to the files that are needed, on this disk."""

from __future__ import annotations

import errno
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub.constants
from huggingface_hub import (
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import default_client_factory

from csm.errors import CsmError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
#: Where the weights are listed or lie, unless config.json's ``transformers_weights`` names it.
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

#: What of an answer has the hub's client sleep for as long as that says, be it hours.
_ASKS_TO_WAIT = ("retry-after", "ratelimit")


@cache
def _wait_for_nobody() -> None:
    """Have the hub's client repeat failed requests by its own pauses alone, half a minute in all.

    A busy hub is then told as one, and whoever started the program decides how long to wait.
    """

    def forget(response: Any) -> None:
        if response.is_error:
            for name in _ASKS_TO_WAIT:
                response.headers.pop(name, None)

    def make() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks.get("response", ()), forget]}
        return client

    set_client_factory(make)


def local_folder(model: str, token: str | None, revision: str | None = None) -> Path:
    """The folder that holds the checkpoint; downloads it where it is on the hub only.

    Args:
        model: a hub id, or a folder.
        token: for a gated repository.
        revision: a commit of the repository, or a branch or tag; None for its newest.

    Raises:
        CsmError: it is nowhere, or cannot be had; the message says what to do.
    """
    _wait_for_nobody()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not _HUB_ID.fullmatch(model):
        raise CsmError(_no_such(model))
    try:
        return _hub_folder(model, token, revision, local_only=True)
    except EntryNotFoundError:
        pass
    try:
        return _hub_folder(model, token, revision, local_only=False)
    except CsmError:
        raise
    except Exception as error:
        # The hub's client lets some errors of its HTTP library through, and changes that library.
        raise CsmError(_hub_advice(model, token, error)) from error


def find(model: str, token: str | None, revision: str | None = None) -> Path | None:
    """The checkpoint's folder if it is on this disk; None where the hub would give it.

    Nothing is downloaded.

    Args:
        model: a hub id, or a folder.
        token: for a gated repository.
        revision: as for ``local_folder``.

    Raises:
        CsmError: it is nowhere, or the hub would refuse it; the message says what to do.
    """
    _wait_for_nobody()
    folder = Path(model).expanduser()
    if folder.is_dir() or not _HUB_ID.fullmatch(model):
        return local_folder(model, token)
    try:
        return _hub_folder(model, token, revision, local_only=True)
    except EntryNotFoundError:
        pass
    try:
        url = hf_hub_url(model, "config.json", revision=revision)
        get_hf_file_metadata(url, token=token, timeout=10)
    except Exception as error:
        # As above.
        raise CsmError(_hub_advice(model, token, error)) from error
    return None


def local_file(model: str, name: str, token: str | None, revision: str | None = None) -> Path:
    """One more file of a checkpoint, such as a recording; downloads it where that is needed.

    Args:
        model: a hub id, or a folder.
        name: of the file, within the checkpoint.
        token: for a gated repository.
        revision: as for ``local_folder``.

    Raises:
        CsmError: the checkpoint has no such file, or it cannot be had; the message says what to do.
    """
    _wait_for_nobody()
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / name).is_file():
            raise CsmError(
                f"the checkpoint in {model} has no {name}: copy it there from the model's page on "
                "the hub, or do without it"
            )
        return folder / name
    if (cached := cached_file(model, name, revision)) is not None:
        return cached
    if not _HUB_ID.fullmatch(model):
        raise CsmError(_no_such(model))
    try:
        return Path(hf_hub_download(model, name, revision=revision, token=token))
    except RemoteEntryNotFoundError as error:
        raise CsmError(
            f"{model} on the hub has no {name}: take a model that has it, or do without it"
        ) from error
    except Exception as error:
        # As above.
        raise CsmError(_hub_advice(model, token, error)) from error


def cached_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a hub's repository where it is on this disk; None where it is not."""
    if not _HUB_ID.fullmatch(model):
        return None
    try:
        return Path(hf_hub_download(model, name, revision=revision, local_files_only=True))
    except EntryNotFoundError:
        return None


def _no_such(model: str) -> str:
    return (
        f"there is no folder {model}, and it is no hub id either (those look like "
        "sesame/csm-1b): give one of the two as the model"
    )


def _hub_folder(model: str, token: str | None, revision: str | None, *, local_only: bool) -> Path:
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

    config_file = get("config.json", revision)
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


def _status_of(error: BaseException | None) -> int | None:
    """What the hub answered, whatever its client has made of that; None where it did not."""
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return int(error.response.status_code)
        error = error.__cause__ or error.__context__
    return None


def _hub_advice(model: str, token: str | None, error: Exception) -> str:
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{model} on the hub has no such revision: copy the commit from the model's page, "
            "under Files, History"
        )
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
    status = _status_of(error)
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
    if status == 429 or (status is not None and status >= 500):
        return (
            f"the hub is too busy for {model} now (it answers {status}): start again in some "
            "minutes; a token in HF_TOKEN has a larger share than none"
        )
    offline = " (HF_HUB_OFFLINE is set)" if huggingface_hub.constants.HF_HUB_OFFLINE else ""
    return (
        f"{model} is not in the local cache and the hub cannot be reached{offline}: check the "
        "network and proxy settings, or copy the checkpoint here and give its folder as the model"
    )


def read_config(folder: Path, model: str) -> dict[str, Any]:
    """A checkpoint's config.json.

    Raises:
        CsmError: there is none, or it is of another model.
    """
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
    return config


def weight_files(folder: Path, model: str, config: dict[str, Any]) -> list[Path]:
    """The files that hold a checkpoint's weights, each with a whole header.

    Raises:
        CsmError: one is missing or damaged, or the tokenizer is missing.
    """
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
    files = [folder / shard for shard in shards]
    for file in files:
        _check_safetensors(file, model)
    return files


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
    # Not of all whose files are found here.
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise damaged_file(file, model, error) from error


def damaged_file(file: Path, model: str, error: Exception) -> CsmError:
    """What to say of a weight file that cannot be read."""
    return CsmError(
        f"{model} is incomplete or damaged: {file} cannot be read ({error}); delete it and "
        "load the checkpoint again, or copy it again"
    )

"""What this machine must have: the key, the state folder, room on the disk, and what reads."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from csm import SAMPLE_RATE
from narrator_daemon.commands.doctor.check import (
    LONG_LIMIT_SECONDS,
    Check,
    Found,
    check,
    failed,
    passed,
    warned,
)
from narrator_daemon.credentials.files import FileCredentials, signer_of
from narrator_daemon.daemon.disk import BYTES_A_CHARACTER
from narrator_daemon.health.ask import NO_DAEMON, ask
from narrator_daemon.health.state_folder import StateFolder
from narrator_daemon.libraries import importing
from narrator_daemon.marks import keys
from narrator_daemon.narration.companions import About, Encoder, EncodingFailed, asked_for
from narrator_daemon.settings import Settings
from narrator_daemon.speech import choosing
from narrator_daemon.speech.feeding import most_books_at_once

#: Free bytes that the state and the audio on its way take at most, and that a checkpoint takes.
_LEAST_FREE, _CHECKPOINT_BYTES = 200_000_000, 8_000_000_000

#: Days before its end that a certificate is spoken of.
_EXPIRES_SOON_DAYS = 30


def examine(settings: Settings) -> Iterator[Check]:
    """Key, state folder, disk, and what the chosen engine needs."""
    yield check("watermark key", lambda: _key(settings))
    yield check("content credentials", lambda: _credentials(settings))
    yield check("state folder", lambda: _state_folder(settings.daemon.state_dir))
    yield check("disk", lambda: _disk(settings))
    yield check("kept segments", lambda: _kept(settings))
    yield check("files beside the WAV", lambda: _files(settings))
    if settings.speech.engine == "kokoro":
        yield check("model", lambda: _kokoro(settings), LONG_LIMIT_SECONDS)
    if settings.speech.engine != "csm":
        yield check("speech", lambda: _engine(settings), LONG_LIMIT_SECONDS)
        return
    yield check("GPU", lambda: _gpu(settings), LONG_LIMIT_SECONDS)
    yield check("checkpoint", lambda: _checkpoint(settings), LONG_LIMIT_SECONDS)
    yield check("voice", lambda: _voice(settings), LONG_LIMIT_SECONDS)
    if settings.takes.recognise is True or (settings.takes.recognise and _recogniser_is_there()):
        yield check("recogniser", lambda: _recogniser(settings), LONG_LIMIT_SECONDS)


def _files(settings: Settings) -> Found:
    """Encode a second of silence, as for a narration."""
    if not settings.files.formats:
        return passed("none are asked for (files.formats): listeners fetch the WAV alone")
    with ExitStack() as opened:
        asked = asked_for(settings.files, lambda: opened.enter_context(tempfile.TemporaryFile()))
        try:
            with Encoder(asked, About(), (), SAMPLE_RATE) as encoder:
                encoder.feed(np.zeros(SAMPLE_RATE, np.int16))
                encoder.finish()
        except (EncodingFailed, OSError) as error:
            return failed(
                f"cannot be made ({error}): install av anew (pip install --force-reinstall av), or "
                "set files.formats = []"
            )
        return passed(", ".join(companion.form.name for companion in asked))


def _key(settings: Settings) -> Found:
    if keys.require(settings) == keys.DEMO_KEY:
        return warned(
            "the public one, with which marks prove nothing; fine for an emulator. Make one of "
            "your own with: narrator-daemon keys new watermark.key"
        )
    retired = len(keys.load_all(settings)) - 1
    own = f"one of your own, and {retired} retired" if retired else "one of your own"
    for path in (settings.watermark.key_file, *settings.watermark.retired_key_files):
        if path is not None and path.is_file() and (note := open_to_others(path)):
            return warned(f"{own}, but {note}")
    return passed(own)


def _credentials(settings: Settings) -> Found:
    signer = signer_of(settings, throwaway=settings.emulated)
    if signer is None:
        return warned(
            "narrations are labelled, but not signed, as the European Union's law asks for. "
            "Get a certificate (narrator-daemon keys certificate FILE makes the request) "
            "and name it under [credentials]"
        )
    days = (signer.expires - datetime.now(UTC)).days
    if days < 0:
        return failed(
            f"the certificate of {signer.name} expired on {signer.expires:%Y-%m-%d}: put a new "
            "one in its place"
        )
    FileCredentials(signer, settings).check()
    if signer.throwaway:
        return warned("signed by a throwaway that nobody trusts; fine for an emulator")
    told = f"signed by {signer.name}, until {signer.expires:%Y-%m-%d}"
    key = settings.credentials.private_key
    if key is not None and (note := open_to_others(key)):
        return warned(f"{told}, but {note}")
    if days < _EXPIRES_SOON_DAYS:
        return warned(f"{told}, which is in {days} days: put a new one in its place before")
    return passed(told)


def open_to_others(path: Path) -> str | None:
    """What to do about a secret file that others on this machine can read, or None."""
    found = path.stat()
    # A secret that is mounted belongs to root, and is read as one of its group.
    others = 0o077 if found.st_uid == os.getuid() else 0o007
    if not found.st_mode & others:
        return None
    mode = stat.S_IMODE(found.st_mode)
    return f"{path} has mode {mode:o}: chmod 600 it, so that nobody else can read it"


def _state_folder(folder: Path) -> Found:
    asked = ask(folder)
    if asked.exit_code != NO_DAEMON:
        problems = "; ".join(asked.report.get("problems", []))
        note = f"a daemon runs in {folder} and is {asked.report.get('status')}"
        return warned(f"{note}: {problems}") if problems else passed(note)
    StateFolder(folder).close()
    return passed(f"{folder} can be used; no daemon runs in it")


def _disk(settings: Settings) -> Found:
    folder = settings.daemon.state_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        return failed(f"{_gigabytes(free)} free under {folder}: free some space")
    return passed(f"{_gigabytes(free)} free under {folder}")


def _kept(settings: Settings) -> Found:
    if not settings.kept.max_gigabytes:
        return passed("off: an interrupted narration starts anew")
    folder = settings.kept.folder
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return warned(
            f"{folder} cannot be written, so that an interrupted narration starts anew: set "
            "kept.folder to a folder that can"
        )
    free = shutil.disk_usage(folder).free
    books = most_books_at_once(settings)
    need = settings.limits.max_characters * BYTES_A_CHARACTER * books
    if free < need:
        return warned(
            f"{_gigabytes(free)} free under {folder}, and the longest texts that the limits allow "
            f"take {_gigabytes(need)}: free some space, or lower limits.max_characters"
        )
    return passed(f"{_gigabytes(free)} free under {folder}")


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"


def _kokoro(settings: Settings) -> Found:
    with importing("speech.engine"):
        from narrator_daemon.speech.kokoro import files

    kokoro = settings.kokoro
    if files.are_here(kokoro.model, kokoro.revision, kokoro.voice):
        return passed(f"{kokoro.model} is on this disk")
    return warned(
        f"{kokoro.model} was not here; this check, or the first start, downloads 0.1 GB from the "
        "hub: narrator-daemon model fetch brings it before"
    )


def _engine(settings: Settings) -> Found:
    engine = choosing.create(settings)
    try:
        engine.load()
        return passed(f"{engine.name} on {engine.device}")
    finally:
        engine.close()


def _gpu(settings: Settings) -> Found:
    import torch

    from csm import CsmError
    from csm.checkpoint.loading import resolve_device
    from csm.checkpoint.transformers_parts import CsmConfig
    from csm.engine.sizing import sizes

    try:
        device = resolve_device(settings.speech.device)
    except CsmError as error:
        return failed(str(error))
    if device.type == "cpu":
        return warned(
            "none is used: CSM reads many times slower than it plays on a CPU. See whether "
            "nvidia-smi lists a GPU and whether speech.device is auto or cuda"
        )
    driver = Path("/proc/driver/nvidia/version")
    version = driver.read_text().splitlines()[0].split("  ") if driver.is_file() else []
    name = torch.cuda.get_device_name(device)
    shown = f"{device} is a {name}, CUDA {torch.version.cuda}"
    shown += f", driver {version[1].strip()}" if len(version) > 1 else ""
    free, total = torch.cuda.mem_get_info(device)
    shown += f", {_gigabytes(free)} of {_gigabytes(total)} free"
    if ask(settings.daemon.state_dir).exit_code != NO_DAEMON:
        return passed(f"{shown} beside the daemon that runs")
    # Of the released model; for so many slots as are asked for, or one where that is left open.
    needed = sizes(CsmConfig(), torch.bfloat16, device).total(settings.speech.slots or 1)
    slots = f"{settings.speech.slots or 1} slots"
    if free < needed:
        return failed(
            f"{shown}; {_gigabytes(needed)} are needed for {slots}: see with nvidia-smi who holds "
            "it, or set speech.slots lower"
        )
    return passed(f"{shown}, of which {slots} need {_gigabytes(needed)}")


def _checkpoint(settings: Settings) -> Found:
    from csm import CsmError
    from csm.checkpoint import hub

    model = settings.speech.model
    try:
        folder = hub.find(model, None, settings.speech.revision)
        if folder is not None:
            hub.weight_files(folder, model, hub.read_config(folder, model))
            return passed(f"{model} is whole, in {folder}")
    except CsmError as error:
        return failed(str(error))
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    while not cache.exists():
        cache = cache.parent
    free = shutil.disk_usage(cache).free
    if free < _CHECKPOINT_BYTES:
        return failed(
            f"{model} must be downloaded, and {_gigabytes(free)} are free under {cache}: free "
            f"{_gigabytes(_CHECKPOINT_BYTES)} or set HF_HOME to another disk"
        )
    return warned(
        f"{model} is not here yet; the hub gives it, and the first start downloads it: "
        "narrator-daemon model fetch brings it before"
    )


def _voice(settings: Settings) -> Found:
    voice = settings.voice
    if voice.prompt is not None:
        return passed(f"{voice.prompt}, of the model's own")
    if voice.reference is None or voice.transcript is None:
        return warned(
            "none is set: each narration finds a voice of its own. Set voice.reference and "
            "voice.transcript for one voice in all of them"
        )
    from csm import SAMPLE_RATE, CsmError
    from csm.engine.voice import read_clip

    try:
        clip = read_clip(voice.reference, voice.transcript)
    except CsmError as error:
        return failed(str(error))
    return passed(f"{voice.reference}, {len(clip) / SAMPLE_RATE:.1f} s")


def _recogniser_is_there() -> bool:
    from csm.takes.recognise import installed

    return installed()


def _recogniser(settings: Settings) -> Found:
    from csm import CsmError
    from csm.takes.recognise import Recogniser

    try:
        Recogniser(settings.takes.recogniser).load()
    except CsmError as error:
        return failed(f"{error}; the settings are takes.recognise and takes.recogniser")
    return passed("it can listen to the takes")

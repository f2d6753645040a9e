"""The watermark key: read from its file or the environment; made by ``keys new``."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import watermark
from narrator_daemon.config import WATERMARK_KEY_ENV, ConfigError
from narrator_daemon.settings import Settings

#: Marks made with this prove nothing: it is public. For emulators and for trying things out.
DEMO_KEY = hashlib.sha256(b"narrator-daemon demonstration key, known to everyone").digest()

_NEW_BYTES = 32


def load(settings: Settings, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The configured key, or None where none is configured.

    Raises:
        ConfigError: it cannot be read or is no key. The message never quotes it.
    """
    if written := environment.get(WATERMARK_KEY_ENV):
        return _decode(written, WATERMARK_KEY_ENV)
    path = settings.watermark.key_file
    if path is None:
        return None
    try:
        return _decode(path.read_text(encoding="ascii"), str(path))
    except OSError as error:
        raise ConfigError(
            f"[watermark] key_file: {path} cannot be read: {error.strerror}; "
            f"make one with: narrator-daemon keys new {path}"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"[watermark] key_file: {path} is not hexadecimal text") from None


def require(settings: Settings, environment: Mapping[str, str] = os.environ) -> bytes:
    """The configured key; against emulators the public one where none is configured.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    key = load(settings, environment)
    if key is not None:
        return key
    if settings.emulated:
        return DEMO_KEY
    raise ConfigError(
        "[watermark] key_file: is not set, and narrations of a real project are marked with a key "
        f"of its own. Make one with: narrator-daemon keys new watermark.key (or set "
        f"{WATERMARK_KEY_ENV}), keep a copy, and name it in config.toml"
    )


def _decode(written: str, place: str) -> bytes:
    try:
        key = bytes.fromhex(written.strip())
    except ValueError:
        raise ConfigError(f"{place}: is not hexadecimal text") from None
    try:
        return watermark.check_key(key)
    except watermark.WatermarkKeyError as error:
        raise ConfigError(f"{place}: {error}; written as hexadecimal digits") from None


def write_new(path: Path) -> None:
    """Make a key and write it to a new file that only its owner can read.

    Raises:
        FileExistsError: the file is there; a key that marked anything must never be overwritten.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_NEW_BYTES) + "\n")

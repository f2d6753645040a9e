"""The watermark keys: read from their files or the environment; made by ``keys new``.

One key embeds. Keys that were used before stay known to the detector as retired ones, so that a key
can be changed without losing what it marked.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import watermark
from narrator_daemon import people
from narrator_daemon.config import RETIRED_KEYS_ENV, WATERMARK_KEY_ENV
from narrator_daemon.errors import ConfigError
from narrator_daemon.settings import Settings

#: Marks made with this prove nothing: it is public. For emulators and for trying things out.
DEMO_KEY = hashlib.sha256(b"narrator-daemon demonstration key, known to everyone").digest()

_NEW_BYTES = 32


@dataclass(frozen=True)
class NamedKey:
    """A key and what it is called before people.

    Attributes:
        name: of its file, or of the variable that holds it.
        key: the secret; never shown.
    """

    name: str
    key: bytes = field(repr=False)


#: The same, as the detector is given it.
PUBLIC = NamedKey("the public key", DEMO_KEY)


def load(settings: Settings, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """The key that embeds, or None where none is configured.

    Raises:
        ConfigError: it cannot be read or is no key. The message never quotes it.
    """
    if written := environment.get(WATERMARK_KEY_ENV):
        return _decode(written, WATERMARK_KEY_ENV)
    path = settings.watermark.key_file
    return None if path is None else _read(path, "key_file")


def load_all(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[NamedKey]:
    """The keys to look for marks with: the one that embeds, if there is one, then retired ones.

    Each has a name of its own. No key is there twice: each that is tried makes a finding less sure.

    Raises:
        ConfigError: one cannot be read or is no key. The message never quotes it.
    """
    found: list[NamedKey] = []
    current, path = load(settings, environment), settings.watermark.key_file
    if current is not None:
        by_file = path is not None and not environment.get(WATERMARK_KEY_ENV)
        found.append(NamedKey(str(path) if by_file else WATERMARK_KEY_ENV, current))
    for number, written in enumerate(environment.get(RETIRED_KEYS_ENV, "").split(), 1):
        place = f"{RETIRED_KEYS_ENV} ({number})"
        found.append(NamedKey(place, _decode(written, place)))
    for retired in settings.watermark.retired_key_files:
        found.append(NamedKey(str(retired), _read(retired, "retired_key_files")))
    once = {each.key: each for each in reversed(found)}
    found = [each for each in found if once[each.key] is each]
    short = Counter(Path(each.name).name for each in found)
    return [
        NamedKey(each.name if short[Path(each.name).name] > 1 else Path(each.name).name, each.key)
        for each in found
    ]


def _read(path: Path, setting: str) -> bytes:
    try:
        return _decode(path.read_text(encoding="ascii"), str(path))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}",
            where=f"[watermark] {setting}",
            advice=_advice(path, setting, error),
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"[watermark] {setting}: {path} is not hexadecimal text") from None


def _advice(path: Path, setting: str, error: OSError) -> str:
    """What to do about a key that cannot be read.

    One that exists has marked narrations: a new one in its place would not find their marks.
    """
    if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
        return f"there is no folder {path.parent}: is its volume mounted?"
    if isinstance(error, FileNotFoundError) and setting == "key_file":
        return (
            "if there never was one, make it with: narrator-daemon keys new "
            f"{path}; if there was, bring it back, as no other finds what it marked"
        )
    if isinstance(error, FileNotFoundError):
        return "bring it back, or take it out of the list"
    reader = people.name_of(os.geteuid())
    with suppress(OSError):
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "name a file"
        mode = stat.S_IMODE(found.st_mode)
        return (
            f"it belongs to {people.name_of(found.st_uid)} with mode {mode:o}, and {reader} reads "
            f"it: run as its owner, or chown {reader} {path}; make no new one, which would not "
            "find what this one marked"
        )
    return f"{reader} may not look into its folder: let it, or move the key; make no new one"


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


def fingerprint(key: bytes) -> str:
    """What a key may be called before anybody: nothing of it follows from this.

    SHA-256 of a prefix of our own and the key, its first half as hexadecimal digits.
    """
    return hashlib.sha256(b"narrator-daemon watermark key fingerprint:" + key).hexdigest()[:32]


def write_new(path: Path) -> None:
    """Make a key and write it to a new file that only its owner can read.

    Raises:
        ConfigError: it cannot be written, or the file is there.
    """
    write_secret(path, secrets.token_hex(_NEW_BYTES) + "\n")


def write_secret(path: Path, secret: str) -> None:
    """Write a secret to a new file that only its owner can read.

    Raises:
        ConfigError: it cannot be written, or the file is there.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            "is there already",
            where=str(path),
            advice="a key that marked or signed anything is kept",
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)

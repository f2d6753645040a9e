"""How the daemon on this machine is, told through its state folder.

The daemon's own loop writes ``state.json`` there every second and holds a lock on ``lock`` for as
long as it lives. Reading both needs no network and none of the heavy libraries, so that an exec
probe is quick, and cannot be answered by a process that hangs: the state grows old.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from narrator_daemon import logs
from narrator_daemon.config import ConfigError

HEALTHY, UNHEALTHY, NO_DAEMON = 0, 1, 2

Probe: TypeAlias = Literal["healthy", "ready", "live"]

#: Age of the state, in seconds, past which the daemon counts as hanging.
STALE_SECONDS = 15.0


_log = logs.get("health")


def _clock() -> float:
    # Comparable between processes of one machine, and no clock anyone sets.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class StateFolder:
    """The daemon's side: one daemon a folder.

    Args:
        folder: created if it is not there, readable by its owner only.

    Raises:
        ConfigError: the folder cannot be used or another daemon runs in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failing = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(folder)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"[daemon] state_dir: {folder} cannot be used: {error.strerror}"
            ) from None
        # A probe that looks at the same moment holds the lock for an instant.
        patience = time.monotonic() + 0.5
        while not _try_lock(self._lock):
            if time.monotonic() > patience:
                os.close(self._lock)
                raise ConfigError(
                    f"[daemon] state_dir: another daemon runs in {folder}; give each one its own"
                )
            time.sleep(0.02)

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state, stamped with the time.

        A folder that is full or gone is logged and costs no book: health finds the state old.
        """
        document = json.dumps({**state, "pid": os.getpid(), "writtenAt": _clock()})
        new = self._folder / "state.json.new"
        try:
            new.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(document)
            new.replace(self._folder / "state.json")
        except OSError as error:
            if not self._failing:
                _log.error("state_not_written", folder=str(self._folder), why=error.strerror)
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Remove the state and let go of the folder."""
        with suppress(OSError):
            (self._folder / "state.json").unlink(missing_ok=True)
        os.close(self._lock)


def _check_owner(folder: Path) -> None:
    """Refuse a folder that another user could have prepared or can change."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigError(
            f"[daemon] state_dir: {folder} must be a folder that belongs to this user and that "
            "nobody else can write to"
        )


@dataclass(frozen=True)
class Health:
    """The answer of ``narrator-daemon health``.

    Attributes:
        exit_code: 0 healthy, 1 not, 2 no daemon runs.
        report: what is printed, as JSON values.
    """

    exit_code: int
    report: dict[str, Any]


def ask(folder: Path, probe: Probe = "healthy") -> Health:
    """Ask the daemon that runs in a state folder how it is.

    Args:
        folder: its state folder.
        probe: what counts as a good answer. ``healthy``: nothing is wrong. ``ready``: it takes
            books; the model is loaded and the stream is open. ``live``: it works by itself, though
            Firebase be down or the model still loading; one that is not must be restarted.
    """
    if not _is_locked(folder):
        report = {"status": "not running", "state_dir": str(folder)}
        return Health(NO_DAEMON, report)
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        age = _clock() - float(state.pop("writtenAt"))
    except (OSError, ValueError, KeyError):
        return Health(UNHEALTHY, {"status": "starting", "state_dir": str(folder)})
    if age > STALE_SECONDS:
        state |= {"status": "hanging", "live": False, "ready": False}
        state["problems"] = [f"the main loop has not run for {age:.0f} s"]
    well = state.get("status") == "healthy" if probe == "healthy" else state.get(probe) is True
    return Health(HEALTHY if well else UNHEALTHY, state)


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

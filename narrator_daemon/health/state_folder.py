"""The state folder as the daemon keeps it: one daemon a folder, and its state every second."""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from narrator_daemon import logs
from narrator_daemon.errors import ConfigError
from narrator_daemon.health.ask import clock, try_lock

_log = logs.get(__name__)


class StateFolder:
    """The daemon's side: one daemon a folder; let go of at the end of its ``with``.

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
                f"{folder} cannot be used: {error.strerror}", where="[daemon] state_dir"
            ) from None
        # A probe that looks at the same moment holds the lock for an instant.
        patience = time.monotonic() + 0.5
        while not try_lock(self._lock):
            if time.monotonic() > patience:
                os.close(self._lock)
                raise ConfigError(
                    f"another daemon runs in {folder}",
                    where="[daemon] state_dir",
                    advice="give each one its own",
                )
            time.sleep(0.02)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state, stamped with the time.

        On a full disk the old one is written over, in the room that it has: the daemon lives, and
        says so. A folder that is gone is logged and costs no book: health finds the state old.
        """
        document = json.dumps({**state, "pid": os.getpid(), "writtenAt": clock()})
        try:
            self._replace(document)
        except OSError as error:
            if self._write_over(document):
                return
            if not self._failing:
                _log.error("state_not_written", folder=str(self._folder), why=error.strerror)
            self._failing = True
        else:
            self._failing = False

    def _replace(self, document: str) -> None:
        new = self._folder / "state.json.new"
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(document)
        new.replace(self._folder / "state.json")

    def _write_over(self, document: str) -> bool:
        """Put the state into the file that is there, if there is one; whether it went in whole."""
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            state = os.open(self._folder / "state.json", flags)
            try:
                # What was longer is covered by white space, which JSON allows at its end.
                text = document.encode().ljust(os.fstat(state).st_size)
                return os.pwrite(state, text, 0) == len(text)
            finally:
                os.close(state)
        return False

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
            f"{folder} must be a folder that belongs to this user and that nobody else can "
            "write to",
            where="[daemon] state_dir",
        )

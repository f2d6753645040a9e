"""Imported by Python itself at its start: the machine is as bad as the files say (``BadMachine``).

The steady clocks stay what they are, as on a machine whose time is set. Of a full disk the system
says that nothing is free, and takes no segment.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

_time, _time_ns = time.time, time.time_ns
_statvfs, _pwrite, _fallocate = os.statvfs, os.pwrite, os.posix_fallocate


class _Clock:
    """Seconds by which the clock is ahead, as the file says now."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed, self._seconds = 0, 0.0

    def __call__(self) -> float:
        try:
            changed = self._file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed, self._seconds = changed, float(self._file.read_text())
        except OSError:
            pass  # right
        return self._seconds


def _set_clock(ahead: _Clock) -> None:
    time.time = lambda: _time() + ahead()
    time.time_ns = lambda: _time_ns() + int(ahead() * 1e9)


def _limit_disk(full: Path) -> None:
    def statvfs(path: Any) -> Any:
        seen = _statvfs(path)
        if not full.exists():
            return seen
        names = ["f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree"]
        names += ["f_favail", "f_flag", "f_namemax"]
        told = {name: getattr(seen, name) for name in names} | {"f_bfree": 0, "f_bavail": 0}
        return os.statvfs_result(told[name] for name in names)

    def pwrite(*args: Any) -> int:
        _refuse()
        return _pwrite(*args)

    def fallocate(*args: Any) -> None:
        _refuse()
        _fallocate(*args)

    def _refuse() -> None:
        if full.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.statvfs, os.pwrite, os.posix_fallocate = statvfs, pwrite, fallocate  # type: ignore[assignment]


if "BAD_MACHINE_CLOCK" in os.environ:
    _set_clock(_Clock(Path(os.environ["BAD_MACHINE_CLOCK"])))
if "BAD_MACHINE_FULL" in os.environ:
    _limit_disk(Path(os.environ["BAD_MACHINE_FULL"]))

"""The machine is as bad as files say, which the environment names (``BadMachine``).

Imported before all else: by Python itself at its start, and by the process that daemons of tests
are forked from, so that what is forked sees the machine that its own environment names.

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

    def __init__(self) -> None:
        self._changed, self._seconds = 0, 0.0

    def __call__(self) -> float:
        try:
            file = Path(os.environ["BAD_MACHINE_CLOCK"])
            changed = file.stat().st_mtime_ns
            if changed != self._changed:
                self._changed, self._seconds = changed, float(file.read_text())
        except (KeyError, OSError):
            pass  # right
        return self._seconds


def _set_clock(ahead: _Clock) -> None:
    time.time = lambda: _time() + ahead()
    time.time_ns = lambda: _time_ns() + int(ahead() * 1e9)


def _full() -> bool:
    file = os.environ.get("BAD_MACHINE_FULL")
    return file is not None and Path(file).exists()


def _limit_disk() -> None:
    def statvfs(path: Any) -> Any:
        seen = _statvfs(path)
        if not _full():
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
        if _full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.statvfs, os.pwrite, os.posix_fallocate = statvfs, pwrite, fallocate  # type: ignore[assignment]


_set_clock(_Clock())
_limit_disk()

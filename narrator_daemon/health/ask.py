"""How the daemon on this machine is, told through its state folder.

The daemon's own loop writes ``state.json`` there every second and holds a lock on ``lock`` for as
long as it lives (``state_folder``). Reading both needs no network and nothing but Python's own
library, so that an exec probe is quick, and cannot be answered by a process that hangs: the state
grows old.

``narrator-daemon health`` comes here before anything else is imported: an orchestrator asks every
few seconds, from within the same small share of a machine that the daemon works in.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from narrator_daemon.people import name_of

HEALTHY, UNHEALTHY, NO_DAEMON = 0, 1, 2

Probe: TypeAlias = Literal["healthy", "ready", "live"]

#: Age of the state, in seconds, past which the daemon counts as hanging.
STALE_SECONDS = 15.0


def clock() -> float:
    """The clock that states are stamped with, in seconds."""
    # Comparable between processes of one machine, and no clock anyone sets.
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
    try:
        locked = _is_locked(folder)
    except PermissionError:
        # There may well be one: whoever may not look cannot say that there is none.
        return Health(NO_DAEMON, {"status": "unknown", "problems": [_whose(folder)]})
    if not locked:
        report: dict[str, Any] = {"status": "not running", "state_dir": str(folder)}
        if elsewhere := [_where(other) for other in _others(folder)]:
            report["problems"] = elsewhere
        return Health(NO_DAEMON, report)
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        age = clock() - float(state.pop("writtenAt"))
    except (OSError, ValueError, KeyError):
        return Health(UNHEALTHY, {"status": "starting", "state_dir": str(folder)})
    if age > STALE_SECONDS:
        state |= {"status": "hanging", "live": False, "ready": False}
        state["problems"] = [f"the main loop has not run for {age:.0f} s"]
    well = state.get("status") == "healthy" if probe == "healthy" else state.get(probe) is True
    return Health(HEALTHY if well else UNHEALTHY, state)


def _others(folder: Path) -> Iterator[Path]:
    """State folders of other users and of the service manager in which a daemon runs."""
    for place, pattern in (
        ("/run", "narrator-daemon*"),
        ("/run/user", "*/narrator-daemon"),
        (os.environ.get("TMPDIR", "/tmp"), "narrator-daemon-*"),  # noqa: S108
    ):
        for other in sorted(Path(place).glob(pattern)):
            try:
                if other != folder and _is_locked(other):
                    yield other
            except PermissionError:
                yield other


def _where(other: Path) -> str:
    return f"there is {other}, where one may run: set NARRATOR_DAEMON__STATE_DIR={other} to ask it"


def _whose(folder: Path) -> str:
    """What to say of a state folder that this user may not look into."""
    me = name_of(os.geteuid())
    try:
        owner = name_of(folder.stat().st_uid)
    except OSError:
        return f"{me} may not look into {folder}: ask as the user that the daemon runs as"
    return (
        f"{folder} belongs to {owner}, and {me} may not look into it: ask as {owner} "
        f"(sudo -u {owner} narrator-daemon health)"
    )


def _is_locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        raise
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock a state folder's lock file, if nobody else has."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

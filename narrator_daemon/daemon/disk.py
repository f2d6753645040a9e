"""Room on the disk: looked at before each claim, and tried once something has found it full.

A full disk would fail every book of this worker and is the fault of none. It is a dependency like
the others: while there is no room for a book nothing is claimed, and it goes on by itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from csm.audio import PACE
from narrator_daemon.errors import Unavailable
from narrator_daemon.settings import Settings

NAME = "disk"

#: Bytes on the disk for each character of a narration in work: of segments, of the WAV, and of all
#: files beside it.
BYTES_A_CHARACTER = PACE * (96_000 + 48_000 + 16_000)

#: Most bytes that are asked to be free for one book. Where limits allow longer ones, few are so.
_MOST_FOR_A_BOOK = 1_000_000_000

#: Bytes that the state takes at most.
STATE_BYTES = 1_000_000


@dataclass(frozen=True)
class Room:
    """What a folder's disk holds, in bytes.

    Attributes:
        total: all of it.
        free: what this user may still write.
    """

    total: int
    free: int


def bytes_a_book(settings: Settings) -> int:
    """Bytes that one book takes while it is narrated, the longest that the limits allow."""
    longest = round(settings.limits.max_characters * BYTES_A_CHARACTER)
    return min(longest, _MOST_FOR_A_BOOK)


def room(folder: Path) -> Room:
    """How full the disk is that a folder is on, or would be on.

    Raises:
        OSError: nobody can tell.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    seen = os.statvfs(folder)
    # Without a node for it no file can be made, whatever the bytes.
    free = 0 if seen.f_files and not seen.f_favail else seen.f_bavail * seen.f_frsize
    return Room(seen.f_blocks * seen.f_frsize, free)


class Disk:
    """The folders that the daemon writes to, and whether a book more has room there.

    Args:
        folders: by the names that metrics show, each with the bytes that must be free.
        make_room: asked to free so many bytes where segments are kept, before that is called full.
    """

    def __init__(
        self,
        folders: Mapping[str, tuple[Path, int]],
        make_room: Callable[[int], object] = lambda _bytes: None,
    ) -> None:
        self._folders = folders
        self._make_room = make_room

    @property
    def rooms(self) -> dict[str, Room]:
        """How full each is; without those of which nobody can tell."""
        seen = {}
        for name, (folder, _) in self._folders.items():
            try:
                seen[name] = room(folder)
            except OSError:
                continue
        return seen

    def look(self) -> None:
        """See that a book more has room. Costs no more than asking the kernel.

        Raises:
            Unavailable: it has not.
        """
        for name, (folder, least) in self._folders.items():
            try:
                free = room(folder).free
                if free < least and name == "kept":
                    self._make_room(least - free)
                    free = room(folder).free
            except OSError as error:
                raise Unavailable(
                    NAME,
                    f"{folder} cannot be looked at: {error.strerror}",
                    advice="see that its disk is there",
                ) from error
            if free < least:
                raise _full(folder, f"{_told(free)} free, {_told(least)} needed")

    def check(self) -> None:
        """See the same, and that the system gives what it says is free: a quota may not let it.

        Raises:
            Unavailable: it does not.
        """
        self.look()
        for folder, least in self._folders.values():
            try:
                with tempfile.TemporaryFile(dir=folder if folder.is_dir() else None) as file:
                    os.posix_fallocate(file.fileno(), 0, least)
            except OSError as error:
                raise _full(folder, str(error.strerror)) from error


def _full(folder: Path, why: str) -> Unavailable:
    return Unavailable(
        NAME,
        f"there is no room for a book under {folder} ({why})",
        advice="free some space; books wait meanwhile, and none of their attempts are counted",
    )


def _told(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

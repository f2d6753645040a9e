"""What is done to a narration's files once they are written: label, credentials, a last look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from narrator_daemon.credentials.compressed import FORMATS
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.credentials.manifest import Made
from narrator_daemon.credentials.wav import Finished
from narrator_daemon.marks.companions import score
from narrator_daemon.narration.companions import Companion
from narrator_daemon.narration.marking import Mark


def sign(
    credentials: FileCredentials,
    made: Made,
    wav: BinaryIO,
    companions: Sequence[Companion],
    scratch: Callable[[], BinaryIO],
) -> Finished:
    """Put label and credentials into all files that can hold them; gives the WAV as it is now.

    Args:
        credentials: puts them.
        made: what they say.
        wav: whole.
        companions: whole.
        scratch: opens an empty file.

    Raises:
        CannotSign: the signer fails.
        OSError: the disk is full or fails.
    """
    finished = credentials.add(wav, made)
    for companion in companions:
        if companion.form.name in FORMATS:
            credentials.add_to_compressed(companion.file, companion.form.name, made, scratch)
    return finished


def scores(
    companions: Sequence[Companion], mark: Mark, after_each: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """The score of the mark in each file beside the WAV, by format.

    Args:
        companions: whole.
        mark: that they carry.
        after_each: called after each; what it raises ends the look.

    Raises:
        Unreadable: one cannot be decoded.
        OSError: no process can be had for it.
    """
    found = {}
    for companion in companions:
        found[companion.form.name] = round(score(companion.file, mark.key, mark.index), 2)
        after_each()
    return found

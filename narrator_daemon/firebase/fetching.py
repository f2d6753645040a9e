"""Narrations brought back from the bucket."""

from __future__ import annotations

from typing import IO

from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase.answers import storage_errors
from narrator_daemon.firebase.object_names import is_name
from narrator_daemon.firebase.project import Project

#: The largest that a WAV can be, and what it says of itself besides.
_MOST_BYTES = (1 << 32) + (1 << 20)
_CONNECT_AND_READ_SECONDS = (5.0, 30.0)
_GIVE_UP_SECONDS = 60.0


def fetch(project: Project, path: str, out: IO[bytes]) -> bool:
    """Bring an object; gives whether there is one.

    Args:
        project: the bucket.
        path: the object's name, as the database has it.
        out: where to.

    Raises:
        Unavailable: storage did not answer, or may not be read.
        OSError: the disk is full or fails.
    """
    if not is_name(path):
        return False
    with storage_errors(project.bucket_name):
        blob = project.bucket.get_blob(path, timeout=_CONNECT_AND_READ_SECONDS)
        if blob is None or not blob.size or blob.size > _MOST_BYTES:
            return False
        try:
            blob.download_to_file(
                out,
                # What is stored compressed may be of any size once it is not.
                raw_download=True,
                if_generation_match=blob.generation,
                timeout=_CONNECT_AND_READ_SECONDS,
                retry=DEFAULT_RETRY.with_timeout(_GIVE_UP_SECONDS),
            )
        except DataCorruption as error:
            raise Unavailable("storage", f"{path} arrived otherwise than it is kept") from error
    out.flush()
    return True

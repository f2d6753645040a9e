"""Objects as earlier versions kept them: in a folder of fake-gcs-server.

A bucket is a folder and each object a file in it, with its metadata in the extended attribute
``user.metadata``. They are taken over once; the folder stays as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from narrator_daemon.emulator.storage.objects import Metadata, ObjectStore, StorageError

_BUCKET = ".bucketMetadata"
_ATTRIBUTE = "user.metadata"
_FIELDS = {
    "ContentType": "contentType",
    "ContentEncoding": "contentEncoding",
    "ContentDisposition": "contentDisposition",
    "ContentLanguage": "contentLanguage",
    "CacheControl": "cacheControl",
}


def take_over(store: ObjectStore, folder: Path) -> None:
    """Put what an earlier version has kept in a folder into a store that is empty."""
    for mark in sorted(folder.glob(f"*{_BUCKET}")):
        name = mark.name.removesuffix(_BUCKET)
        try:
            store.create_bucket(name)
        except StorageError:
            # Not a bucket's name: nothing of ours.
            continue
        for file in _files(folder / name):
            path = file.relative_to(folder / name).as_posix()
            store.put(name, path, _metadata(file), file.read_bytes())


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and not file.is_symlink())


def _metadata(file: Path) -> Metadata:
    try:
        raw = json.loads(os.getxattr(file, _ATTRIBUTE))
        resource = {name: raw[said] for said, name in _FIELDS.items() if raw.get(said)}
        return Metadata.parse({**resource, "metadata": raw.get("Metadata") or {}})
    except (AttributeError, OSError, ValueError, TypeError, StorageError):
        # Not kept on this system, or not readable: the content is what counts.
        return Metadata()

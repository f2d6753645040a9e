"""Objects in a folder, between runs.

Each object is two files whose names are a hash of its own, so that no name from a client becomes a
path: ``HASH.json`` says what it is, and ``HASH.GENERATION`` is its content. The content is written
first: until the description names it, the object is what it was before.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrator_daemon.emulator.database.disk import DamagedDataError
from narrator_daemon.emulator.storage.objects import Bucket, Contents, Metadata, StoredObject

_BUCKETS = "buckets.json"


class DiskContents(Contents):
    """Keeps objects in a folder.

    Args:
        folder: made if it is not there.

    Raises:
        DamagedDataError: a file in it describes no object.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._buckets = {bucket.name: bucket for bucket in self._read_buckets()}
        for file in sorted(folder.glob("*.json")):
            if file.name != _BUCKETS:
                stored = _read_object(file)
                home = self._buckets.get(stored.bucket)
                if home is None or not self._content(stored).is_file():
                    raise DamagedDataError(f"{file}: its bucket or its content is missing")
                home.objects[stored.name] = stored
        for bucket in self._buckets.values():
            bucket.names = sorted(bucket.objects)

    def buckets(self) -> list[Bucket]:
        """What the folder held."""
        return list(self._buckets.values())

    def read(self, stored: StoredObject) -> bytes:
        """The content of an object."""
        return self._content(stored).read_bytes()

    def write(self, stored: StoredObject, content: bytes | None) -> None:
        """Keep an object, and its content if it is new."""
        before = self._buckets[stored.bucket].objects.get(stored.name)
        if content is not None:
            _write(self._content(stored), content)
        _write(self._description(stored), json.dumps(_described(stored)).encode())
        if content is not None and before is not None:
            self._content(before).unlink(missing_ok=True)

    def remove(self, stored: StoredObject) -> None:
        """Forget an object."""
        self._description(stored).unlink(missing_ok=True)
        self._content(stored).unlink(missing_ok=True)

    def write_bucket(self, bucket: Bucket) -> None:
        """Keep a bucket's own settings."""
        self._buckets[bucket.name] = bucket
        self._write_buckets()

    def remove_bucket(self, bucket: Bucket) -> None:
        """Forget a bucket, which is empty."""
        del self._buckets[bucket.name]
        self._write_buckets()

    def _hash(self, stored: StoredObject) -> str:
        return hashlib.sha256(f"{stored.bucket}/{stored.name}".encode()).hexdigest()

    def _description(self, stored: StoredObject) -> Path:
        return self._folder / f"{self._hash(stored)}.json"

    def _content(self, stored: StoredObject) -> Path:
        return self._folder / f"{self._hash(stored)}.{stored.generation}"

    def _write_buckets(self) -> None:
        known = [
            {"name": b.name, "created": b.created, "settings": b.settings}
            for b in self._buckets.values()
        ]
        _write(self._folder / _BUCKETS, json.dumps(known).encode())

    def _read_buckets(self) -> list[Bucket]:
        file = self._folder / _BUCKETS
        if not file.exists():
            return []
        try:
            return [
                Bucket(str(raw["name"]), float(raw["created"]), dict(raw["settings"]))
                for raw in json.loads(file.read_bytes())
            ]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedDataError(f"{file}: not a list of buckets: {error}") from None


def _write(file: Path, content: bytes) -> None:
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def _described(stored: StoredObject) -> Mapping[str, Any]:
    return {
        "bucket": stored.bucket,
        "name": stored.name,
        "fields": dict(stored.metadata.fields),
        "custom": dict(stored.metadata.custom),
        "size": stored.size,
        "md5": stored.md5,
        "crc32c": stored.crc32c,
        "generation": stored.generation,
        "metageneration": stored.metageneration,
        "created": stored.created,
        "updated": stored.updated,
        "acl": dict(stored.acl),
    }


def _read_object(file: Path) -> StoredObject:
    try:
        raw = json.loads(file.read_bytes())
        metadata = Metadata(dict(raw.pop("fields")), dict(raw.pop("custom")))
        stored = StoredObject(metadata=metadata, **raw)
        if not isinstance(stored.generation, int) or not isinstance(stored.name, str):
            raise TypeError("a field is of the wrong type")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedDataError(f"{file}: describes no object: {error}") from None
    return stored

"""Buckets and objects: their bytes, their metadata, their generations.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import google_crc32c

#: Metadata that clients set as text, by its name in the JSON API.
TEXT_FIELDS = (
    "contentType",
    "contentEncoding",
    "contentDisposition",
    "contentLanguage",
    "cacheControl",
    "storageClass",
    "customTime",
)
#: Buckets that are made because somebody uses them.
MAX_BUCKETS = 1000
#: Bytes of UTF-8 in the name of an object.
MAX_NAME_BYTES = 1024

_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,220})[a-z0-9]\Z")


class StorageError(Exception):
    """A request that storage refuses.

    Args:
        status: HTTP status.
        message: for people.
        reason: for programs, as the JSON API's ``reason``.
    """

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


def invalid(message: str) -> StorageError:
    """The refusal of a request that makes no sense."""
    return StorageError(400, message, "invalid")


def no_object(bucket: str, name: str) -> StorageError:
    """The refusal where there is no such object."""
    return StorageError(404, f"No such object: {bucket}/{name}", "notFound")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What clients say about an object.

    Attributes:
        fields: some of `TEXT_FIELDS`.
        custom: names and values of their own.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    custom: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: object) -> Metadata:
        """Metadata from a resource of the JSON API; what is null is left out.

        Raises:
            StorageError: a field is of the wrong type.
        """
        return cls().patched(raw)

    def patched(self, raw: object) -> Metadata:
        """This metadata with the fields that a resource names; null takes one away.

        Raises:
            StorageError: a field is of the wrong type.
        """
        if not isinstance(raw, dict):
            raise invalid("The metadata of an object is a JSON object.")
        fields = _merged(self.fields, {k: v for k, v in raw.items() if k in TEXT_FIELDS})
        custom = self.custom
        if "metadata" in raw:
            given = raw["metadata"]
            if given is not None and not isinstance(given, dict):
                raise invalid("`metadata` is a JSON object of strings.")
            custom = {} if given is None else _merged(custom, given)
        return Metadata(fields, custom)

    @property
    def content_type(self) -> str:
        """The type; the one that says nothing where none was given."""
        return self.fields.get("contentType") or "application/octet-stream"


def _merged(old: Mapping[str, str], changes: Mapping[str, object]) -> dict[str, str]:
    merged = dict(old)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, (str, int, float)):
            merged[name] = value if isinstance(value, str) else str(value).lower()
        else:
            raise invalid(f"`{name}` is a string.")
    return merged


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is.

    Attributes:
        bucket: where it is.
        name: what it is called there.
        metadata: what clients say about it.
        size: bytes of its content.
        md5: of its content; base64.
        crc32c: of its content; base64 of four bytes, the highest first.
        generation: of its content: grows with each.
        metageneration: of its metadata, within the generation.
        created: when its content came, seconds since the epoch.
        updated: when anything of it changed.
        acl: who was given access, by entity; kept, and not asked by anybody.
    """

    bucket: str
    name: str
    metadata: Metadata
    size: int
    md5: str
    crc32c: str
    generation: int
    metageneration: int
    created: float
    updated: float
    acl: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """A bucket.

    Attributes:
        name: what it is called.
        created: when, seconds since the epoch.
        settings: what clients said about it, as the JSON API's resource; kept, and not acted on.
    """

    name: str
    created: float
    settings: dict[str, Any] = field(default_factory=dict)
    objects: dict[str, StoredObject] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def from_name(self, first: str) -> Iterator[StoredObject]:
        """The objects in the order of their names, from a name on."""
        for position in range(bisect_left(self.names, first), len(self.names)):
            yield self.objects[self.names[position]]


def checksums(content: bytes) -> tuple[str, str]:
    """MD5 and CRC32C of a content, in base64."""
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    crc = google_crc32c.value(content).to_bytes(4, "big")
    return base64.b64encode(md5).decode(), base64.b64encode(crc).decode()


class Contents:
    """The bytes of objects, in memory; `narrator_daemon.emulator.storage.disk` keeps them."""

    def __init__(self) -> None:
        self._contents: dict[tuple[str, str], bytes] = {}

    def buckets(self) -> list[Bucket]:
        """What was kept from the last time."""
        return []

    def read(self, stored: StoredObject) -> bytes:
        """The content of an object."""
        return self._contents[stored.bucket, stored.name]

    def write(self, stored: StoredObject, content: bytes | None) -> None:
        """Keep an object, and its content if it is new."""
        if content is not None:
            self._contents[stored.bucket, stored.name] = content

    def remove(self, stored: StoredObject) -> None:
        """Forget an object."""
        del self._contents[stored.bucket, stored.name]

    def write_bucket(self, bucket: Bucket) -> None:
        """Keep a bucket's own settings."""

    def remove_bucket(self, bucket: Bucket) -> None:
        """Forget a bucket, which is empty."""


class ObjectStore:
    """All buckets. Belongs to one event loop.

    Args:
        contents: where the bytes are.
        clock: seconds since the epoch.
    """

    def __init__(self, contents: Contents, clock: Callable[[], float] = time.time) -> None:
        self._contents = contents
        self._clock = clock
        self._buckets = {bucket.name: bucket for bucket in contents.buckets()}
        self._last_generation = max(
            (o.generation for b in self._buckets.values() for o in b.objects.values()), default=0
        )

    def buckets(self) -> list[Bucket]:
        """Every bucket, by name."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def bucket(self, name: str) -> Bucket:
        """The bucket of that name.

        Raises:
            StorageError: there is none.
        """
        bucket = self._buckets.get(name)
        if bucket is None:
            raise StorageError(404, "The specified bucket does not exist.", "notFound")
        return bucket

    def create_bucket(self, name: str, settings: Mapping[str, Any] | None = None) -> Bucket:
        """Make a bucket.

        Raises:
            StorageError: it is there, or can't be called so.
        """
        if not _BUCKET_NAME.match(name) or ".." in name:
            raise invalid(f"Invalid bucket name: {name!r:.80}")
        if name in self._buckets:
            raise StorageError(
                409, "Your previous request to create the named bucket succeeded.", "conflict"
            )
        bucket = self._buckets[name] = Bucket(name, self._clock(), dict(settings or {}))
        self._contents.write_bucket(bucket)
        return bucket

    def open_bucket(self, name: str) -> Bucket:
        """The bucket of that name, made if it is not there.

        Raises:
            StorageError: none can be called so, or there are too many.
        """
        if name not in self._buckets and len(self._buckets) >= MAX_BUCKETS:
            raise StorageError(429, "There are too many buckets.", "rateLimitExceeded")
        return self._buckets.get(name) or self.create_bucket(name)

    def change_bucket(self, name: str, settings: Mapping[str, Any]) -> Bucket:
        """Change what a bucket says about itself.

        Raises:
            StorageError: there is none.
        """
        bucket = self.bucket(name)
        for key, value in settings.items():
            if value is None:
                bucket.settings.pop(key, None)
            else:
                bucket.settings[key] = value
        self._contents.write_bucket(bucket)
        return bucket

    def delete_bucket(self, name: str) -> None:
        """Take a bucket away.

        Raises:
            StorageError: there is none, or it isn't empty.
        """
        bucket = self.bucket(name)
        if bucket.objects:
            raise StorageError(409, "The bucket you tried to delete is not empty.", "conflict")
        del self._buckets[name]
        self._contents.remove_bucket(bucket)

    def find(self, bucket: str, name: str) -> StoredObject | None:
        """The object of that name, None if there is none.

        Raises:
            StorageError: there is no such bucket.
        """
        return self.bucket(bucket).objects.get(name)

    def content(self, stored: StoredObject) -> bytes:
        """The bytes of an object."""
        return self._contents.read(stored)

    def put(self, bucket: str, name: str, metadata: Metadata, content: bytes) -> StoredObject:
        """Store an object in place of what is there.

        Raises:
            StorageError: there is no such bucket, or it can't be called so.
        """
        home = self.bucket(bucket)
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            size = 0
        if not 0 < size <= MAX_NAME_BYTES or "\r" in name or "\n" in name or name in (".", ".."):
            raise invalid(f"Invalid object name: {name!r:.80}")
        now = self._clock()
        # Grows, however close two writes are and whatever the clock does.
        self._last_generation = max(self._last_generation + 1, int(now * 1e6))
        md5, crc32c = checksums(content)
        stored = StoredObject(
            bucket, name, metadata, len(content), md5, crc32c, self._last_generation, 1, now, now
        )
        self._contents.write(stored, content)
        if name not in home.objects:
            insort(home.names, name)
        home.objects[name] = stored
        return stored

    def change(self, stored: StoredObject, metadata: Metadata) -> StoredObject:
        """Give an object other metadata."""
        return self._change(replace(stored, metadata=metadata))

    def share(self, stored: StoredObject, entity: str, role: str | None) -> StoredObject:
        """Note that somebody was given a role on an object, or has lost it."""
        acl = {known: its for known, its in stored.acl.items() if known != entity}
        return self._change(replace(stored, acl=acl if role is None else {**acl, entity: role}))

    def _change(self, changed: StoredObject) -> StoredObject:
        changed = replace(changed, metageneration=changed.metageneration + 1, updated=self._clock())
        self._contents.write(changed, None)
        self._buckets[changed.bucket].objects[changed.name] = changed
        return changed

    def delete(self, stored: StoredObject) -> None:
        """Take an object away."""
        bucket = self._buckets[stored.bucket]
        del bucket.objects[stored.name]
        del bucket.names[bisect_left(bucket.names, stored.name)]
        self._contents.remove(stored)

    def clear(self) -> None:
        """Take every object away; the buckets stay."""
        for bucket in self._buckets.values():
            for stored in list(bucket.objects.values()):
                self.delete(stored)

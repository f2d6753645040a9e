"""A bucket in memory: objects with generations, and the conditions that requests name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import google_crc32c
from google.api_core import exceptions

from tests.simulation.wire import Wire


@dataclass(frozen=True)
class Object:
    """What lies under a name."""

    data: bytes
    generation: int
    created_at: float
    metadata: dict[str, str]
    content_type: str


class Objects:
    """All objects of the bucket.

    Args:
        now: the service's clock, epoch seconds.

    Attributes:
        by_name: the objects.
        on_delete: told before an object goes.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.by_name: dict[str, Object] = {}
        self.on_delete: Callable[[str], None] = lambda _name: None
        self._generation = 0

    def create(
        self, name: str, data: bytes, metadata: dict[str, str], content_type: str, new: bool
    ) -> None:
        if new and name in self.by_name:
            raise exceptions.PreconditionFailed("conditionNotMet")
        if name in self.by_name:
            self.on_delete(name)
        self._generation += 1
        self.by_name[name] = Object(
            data, self._generation, self.now(), dict(metadata), content_type
        )

    def delete(self, name: str, generation: int | None) -> None:
        found = self.by_name.get(name)
        if found is None:
            raise exceptions.NotFound("no such object")
        if generation is not None and generation != found.generation:
            raise exceptions.PreconditionFailed("conditionNotMet")
        self.on_delete(name)
        del self.by_name[name]


def crc32c(data: bytes) -> str:
    import base64

    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode("ascii")


class Blob:
    """A ``google.cloud.storage.Blob``, as far as the program uses one."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self.bucket = bucket
        self.client = bucket.client
        self.name = name
        self.metadata: dict[str, str] | None = None
        self.cache_control: str | None = None
        self.crc32c: str | None = None
        self.generation: int | None = None
        self.time_created: datetime | None = None
        self.size: int | None = None

    def _take(self, found: Object) -> None:
        self.metadata = dict(found.metadata)
        self.crc32c = crc32c(found.data)
        self.generation = found.generation
        self.size = len(found.data)
        self.time_created = datetime.fromtimestamp(found.created_at, UTC)

    def upload_from_file(
        self,
        file: Any,
        *,
        size: int,
        content_type: str,
        if_generation_match: int | None = None,
        retry: Any = None,
        **_: Any,
    ) -> None:
        data = file.read(size)
        assert len(data) == size, "a file is shorter than was said"
        self._create(data, content_type, if_generation_match, retry)

    def upload_from_string(
        self, data: bytes, *, if_generation_match: int | None = None, retry: Any = None, **_: Any
    ) -> None:
        self._create(data, "text/plain", if_generation_match, retry)

    def _create(self, data: bytes, content_type: str, match: int | None, retry: Any) -> None:
        metadata = self.metadata or {}
        objects = self._bucket.objects
        self._bucket.call(
            "create",
            self.name,
            lambda: objects.create(self.name, data, metadata, content_type, match == 0),
            retry,
        )

    def reload(self, **_: Any) -> None:
        found = self._bucket.call("look", self.name, lambda: self._bucket.find(self.name), None)
        if found is None:
            raise exceptions.NotFound("no such object")
        self._take(found)

    def exists(self, **_: Any) -> bool:
        found = self._bucket.call("look", self.name, lambda: self._bucket.find(self.name), None)
        return found is not None

    def delete(
        self, *, if_generation_match: int | None = None, retry: Any = None, **_: Any
    ) -> None:
        objects = self._bucket.objects
        self._bucket.call(
            "delete", self.name, lambda: objects.delete(self.name, if_generation_match), retry
        )


class _Client:
    api_endpoint = "https://storage.googleapis.com"
    universe_domain = "googleapis.com"

    def list_blobs(
        self,
        bucket: Bucket,
        *,
        prefix: str,
        start_offset: str | None,
        max_results: int,
        retry: Any = None,
        **_: Any,
    ) -> list[Blob]:
        def listed() -> list[tuple[str, Object]]:
            names = sorted(
                name
                for name in bucket.objects.by_name
                if name.startswith(prefix) and name >= (start_offset or "")
            )
            return [(name, bucket.objects.by_name[name]) for name in names[:max_results]]

        blobs = []
        for name, found in bucket.call("list", prefix, listed, retry):
            blob = Blob(bucket, name)
            blob._take(found)
            blobs.append(blob)
        return blobs

    def close(self) -> None:
        pass


class Bucket:
    """A ``google.cloud.storage.Bucket`` as one process reaches it."""

    def __init__(self, objects: Objects, wire: Wire) -> None:
        self.objects = objects
        self.client = _Client()
        self._wire = wire

    def find(self, name: str) -> Object | None:
        return self.objects.by_name.get(name)

    def call(self, what: str, name: str, apply: Callable[[], Any], retry: Any) -> Any:
        """One request, repeated as the SDK repeats it."""

        def send() -> Any:
            return self._wire.storage(what, name, apply)

        return send() if retry is None else retry(send)()

    def blob(self, name: str, **_: Any) -> Blob:
        return Blob(self, name)

    def get_blob(self, name: str, **_: Any) -> Blob | None:
        found = self.call("look", name, lambda: self.find(name), None)
        if found is None:
            return None
        blob = Blob(self, name)
        blob._take(found)
        return blob

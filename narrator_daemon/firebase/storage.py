"""Audio objects in Cloud Storage: uploaded once, never overwritten, reached by a URL."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import google_crc32c
from google.api_core import exceptions
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from narrator_daemon.catalogue import (
    FILE_BYTES,
    FILE_EXPIRES_AT,
    FILE_PATH,
    FILE_URL,
    Record,
)
from narrator_daemon.errors import NodeRefused, Refused, Unavailable
from narrator_daemon.firebase.answers import storage_errors
from narrator_daemon.firebase.audio_urls import AudioUrls
from narrator_daemon.firebase.object_names import WAV, is_name, metadata_text, slug
from narrator_daemon.firebase.project import Project
from narrator_daemon.settings import Storage

#: Browsers and caches may keep an object for this long: it never changes under its name.
CACHE_CONTROL = "public, max-age=31536000, immutable"

#: How long an upload or a deletion is tried before storage counts as unavailable, in seconds.
GIVE_UP_SECONDS = 60.0

#: Bytes of an upload that are in memory at a time, and sent again when a request fails.
_CHUNK_BYTES = 8 << 20

_CONNECT_AND_READ_SECONDS = (5.0, 30.0)
_TOKEN_METADATA = "firebaseStorageDownloadTokens"  # noqa: S105 - the name, not a token

T = TypeVar("T")


@dataclass(frozen=True)
class StoredAudio:
    """An object that was uploaded.

    Attributes:
        path: its name in the bucket.
        url: where it plays from.
        url_expires_at: epoch milliseconds, or None for a URL that does not expire.
        size: bytes.
    """

    path: str
    url: str
    url_expires_at: int | None
    size: int

    def as_record(self) -> Record:
        """As a book names it beside its WAV: ``{url, urlExpiresAt, bytes, path}``."""
        record = {FILE_URL: self.url, FILE_BYTES: self.size, FILE_PATH: self.path}
        if self.url_expires_at is not None:
            record[FILE_EXPIRES_AT] = self.url_expires_at
        return record


@dataclass(frozen=True)
class StoredObject:
    """An object as the bucket lists it.

    Attributes:
        path: its name.
        generation: which version of it.
        created_at: epoch seconds, by the service's clock.
        metadata: as it was uploaded.
    """

    path: str
    generation: int
    created_at: float
    metadata: dict[str, str]


class AudioStore:
    """The bucket's narrations.

    Safe to use from several threads.

    Args:
        project: the bucket and the credentials that sign.
        settings: names and URLs.
        clock: epoch seconds; the bucket's own unless another is given.

    Attributes:
        uploaded_bytes: audio that was uploaded, since the start.
        upload_retries: how often an upload was tried again.
        cannot_delete: why nothing can be deleted, as far as was tried; None where it can.
            Narrations go on without it, and audio that nobody needs stays in the bucket.
    """

    def __init__(
        self, project: Project, settings: Storage, clock: Callable[[], float] | None = None
    ) -> None:
        self._project = project
        self._settings = settings
        self._clock = clock or project.bucket_clock.now
        self._lock = threading.Lock()
        self.uploaded_bytes = self.upload_retries = 0
        self.cannot_delete: str | None = None
        self._urls = AudioUrls(project, settings, self._clock)

    def path(self, book_id: str, token: str) -> str:
        """The object name of one claim's audio."""
        return self._settings.object_name.format(book=slug(book_id), token=token)

    def upload(
        self,
        path: str,
        file: BinaryIO,
        size: int,
        *,
        book_id: str,
        content_type: str = "audio/wav",
        on_read: Callable[[], None] = lambda: None,
    ) -> StoredAudio:
        """Upload a narration under a name that must be new, and give its URL.

        What is longer than a few minutes goes up in chunks. Requests are repeated on failures that
        pass; each is safe, because the object may not exist yet and its checksum is verified. An
        object that is there already with the same checksum is our own whose answer was lost.

        Args:
            path: the object's name.
            file: read from its start.
            size: its length in bytes.
            book_id: the book.
            content_type: as browsers are told.
            on_read: called before each part that is read; what it raises ends the upload.

        Raises:
            Unavailable: storage did not take it within ``GIVE_UP_SECONDS``.
            Refused: the bucket is missing or may not be written.
            NodeRefused: it does not take this object, and takes others.
        """
        blob = self._project.bucket.blob(path, chunk_size=_CHUNK_BYTES)
        blob.cache_control = CACHE_CONTROL
        blob.metadata = {
            "bookId": metadata_text(book_id),
            "generatedAt": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
            "watermarked": "true" if content_type.startswith("audio/") else "false",
            "catalogue": self._project.catalogue,
        }
        token = str(uuid4())
        if self._settings.url == "download-token":
            blob.metadata = {**blob.metadata, _TOKEN_METADATA: token}

        def send() -> tuple[str, int | None]:
            # First, so that what cannot be signed leaves no object behind.
            signed = self._urls.of(blob, token)
            file.seek(0)
            try:
                self._send(blob, file, size, content_type, on_read)
            except exceptions.PreconditionFailed:
                blob.reload(timeout=_CONNECT_AND_READ_SECONDS)
                if blob.crc32c != _crc32c(file, on_read):
                    raise NodeRefused(
                        "storage", f"{path} exists with other contents; object names must be new"
                    ) from None
                return self._urls.of(blob, (blob.metadata or {}).get(_TOKEN_METADATA, token))
            return signed

        url, expires_at = self._on_object(path, send)
        with self._lock:
            self.uploaded_bytes += size
        return StoredAudio(path, url, expires_at, size)

    def _send(
        self,
        blob: Any,
        file: BinaryIO,
        size: int,
        content_type: str,
        on_read: Callable[[], None],
    ) -> None:
        for last in (False, True):
            try:
                blob.upload_from_file(
                    _Watched(file, on_read),
                    size=size,
                    content_type=content_type,
                    if_generation_match=0,
                    checksum="crc32c",
                    timeout=_CONNECT_AND_READ_SECONDS,
                    retry=self._try_upload,
                )
            except (DataCorruption, exceptions.BadRequest) as error:
                if not _arrived_wrong(error):
                    raise
                # Storage has refused it, or the SDK has deleted it: the name is free again.
                if last:
                    raise Unavailable(
                        "storage", "storage twice kept other bytes than were sent"
                    ) from error
                file.seek(0)
            else:
                return

    def _try_upload(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """What the SDK calls to repeat a request: its own retries, counted."""

        def count(_error: Exception) -> None:
            with self._lock:
                self.upload_retries += 1

        repeated: Callable[[], Any] = DEFAULT_RETRY.with_timeout(GIVE_UP_SECONDS)(call, count)
        return repeated

    @property
    def signed_seconds(self) -> float:
        """How long a URL that is signed now works."""
        return self._urls.signed_seconds

    def sign(self, path: str) -> tuple[str, int]:
        """A signed URL of an object, and when it expires (epoch milliseconds).

        Raises:
            Unavailable: the signing service does not answer, where there is no key.
            Refused: these credentials cannot sign.
        """
        with storage_errors(self._project.bucket_name):
            return self._urls.signed(self._project.bucket.blob(path))

    def token(self, path: str, book_id: str) -> str | None:
        """The claim's token in an object name of this book; None for any other name.

        Files beside the WAV have another ending.
        """
        parts = re.split(r"(\{book\}|\{token\})", self._settings.object_name.removesuffix(WAV))
        known = {"{book}": re.escape(slug(book_id)), "{token}": "([0-9a-f]{32})"}
        pattern = "".join(known.get(part, re.escape(part)) for part in parts)
        least = 1 if self._settings.object_name.endswith(WAV) else 0
        match = re.fullmatch(rf"{pattern}(?:\.[a-z0-9]{{2,8}}){{{least},2}}", path)
        return None if match is None else match[1]

    def objects(self, *, after: str = "", most: int) -> Iterator[StoredObject]:
        """The narrations in the bucket in the order of their names.

        Args:
            after: a name to go on after.
            most: how many at most.

        Raises:
            Unavailable: storage does not answer.
        """
        with storage_errors(self._project.bucket_name):
            listed = self._project.bucket.client.list_blobs(
                self._project.bucket,
                prefix=self._prefix,
                # The service's own start is inclusive.
                start_offset=f"{after}\0" if after else None,
                max_results=most,
                timeout=_CONNECT_AND_READ_SECONDS,
                retry=DEFAULT_RETRY.with_timeout(GIVE_UP_SECONDS),
            )
            for blob in listed:
                yield StoredObject(
                    blob.name,
                    int(blob.generation),
                    blob.time_created.timestamp(),
                    dict(blob.metadata or {}),
                )

    def delete(self, path: str, generation: int | None = None) -> None:
        """Delete an object if it is there.

        Args:
            path: its name.
            generation: only this version of it; None for whichever there is.

        Raises:
            Unavailable: storage does not answer; a later sweep will find the object.
            NodeRefused: it may not be deleted.
        """
        self._delete(path, DEFAULT_RETRY.with_timeout(GIVE_UP_SECONDS), generation)

    def _delete(self, path: str, retry: Any, generation: int | None = None) -> None:
        try:
            with storage_errors(self._project.bucket_name):
                try:
                    self._project.bucket.blob(path).delete(
                        if_generation_match=generation,
                        timeout=_CONNECT_AND_READ_SECONDS,
                        retry=retry,
                    )
                except (exceptions.NotFound, exceptions.PreconditionFailed):
                    pass
        except Refused as error:
            # Retention, or a role that may only create: no reason to narrate nothing.
            self.cannot_delete = f"objects cannot be deleted: {error}"
            raise NodeRefused("storage", f"{path} cannot be deleted: {error}") from error
        self.cannot_delete = None

    def check(self) -> None:
        """Do once, with an empty object, all that an upload does: sign, write; and delete it.

        A bucket that can be listed may be closed to writing all the same. The object has one name
        for all replicas and rounds: where it cannot be deleted there is one, and whoever finds it
        there was let through to where it is.

        Raises:
            Unavailable: storage does not answer.
            Refused: the bucket is missing or closed to us, or URLs cannot be signed.
        """
        name = hashlib.sha256(self._project.catalogue.encode()).hexdigest()[:32]
        blob = self._project.bucket.blob(f"{self._prefix}probe-{name}")
        quick = DEFAULT_RETRY.with_timeout(5.0)
        with storage_errors(self._project.bucket_name):
            self._urls.of(blob, token="")
            with suppress(exceptions.PreconditionFailed):
                blob.upload_from_string(
                    b"", if_generation_match=0, timeout=_CONNECT_AND_READ_SECONDS, retry=quick
                )
        with suppress(NodeRefused):
            self._delete(blob.name, quick)

    @property
    def _prefix(self) -> str:
        return self._settings.object_name.partition("{")[0]

    def is_probe(self, stored: StoredObject) -> bool:
        """Whether an object was left behind by ``check``."""
        name = re.fullmatch(re.escape(self._prefix) + "probe-[0-9a-f]{32}", stored.path)
        return name is not None and "bookId" not in stored.metadata

    def belongs_to(self, path: str, book_id: str) -> bool:
        """Whether an object is there and was uploaded as audio of this book.

        Raises:
            Unavailable: storage does not answer.
            NodeRefused: it refuses this object, and nothing else.
        """
        if not is_name(path):
            return False
        timeout = _CONNECT_AND_READ_SECONDS
        blob = self._on_object(path, lambda: self._project.bucket.get_blob(path, timeout=timeout))
        metadata = (blob.metadata if blob else None) or {}
        ours = self._project.is_own(metadata.get("catalogue"))
        return bool(ours and metadata.get("bookId") == metadata_text(book_id))

    def exists(self, path: str) -> bool:
        """Whether the bucket has an object of this name.

        Raises:
            Unavailable: storage does not answer.
            NodeRefused: it refuses this object, and nothing else.
        """
        if not is_name(path):
            return False
        blob = self._project.bucket.blob(path)
        return bool(self._on_object(path, lambda: blob.exists(timeout=_CONNECT_AND_READ_SECONDS)))

    def _on_object(self, path: str, call: Callable[[], T]) -> T:
        """Do something with one object; tells a refusal of it from one of everything.

        Storage that refuses everything for some seconds, as while a role is granted, may answer
        again just as it is asked: so the object is tried once more after that.

        Args:
            path: its name.
            call: does it; may be called twice, the first time in vain.

        Raises:
            Unavailable: storage does not answer.
            Refused: the bucket is missing or closed to us.
            NodeRefused: the object is refused, and was so after the bucket had answered.
        """
        try:
            with storage_errors(self._project.bucket_name):
                return call()
        except Refused:
            self.check()
        try:
            with storage_errors(self._project.bucket_name):
                return call()
        except Refused as error:
            raise NodeRefused("storage", f"{path} cannot be reached: {error}") from error

    def is_ours(self, stored: StoredObject) -> bool:
        """Whether an object is audio of this catalogue, or was made with it, by its metadata."""
        return (
            stored.metadata.get("watermarked") in ("true", "false")
            and self._project.is_own(stored.metadata.get("catalogue"))
            and "bookId" in stored.metadata
        )


def _arrived_wrong(error: Exception) -> bool:
    """Whether an upload failed because other bytes came than were sent."""
    # Cloud Storage compares checksums itself where it is told them with the last chunk.
    return isinstance(error, DataCorruption) or "doesn't match calculated" in str(error)


def _crc32c(file: BinaryIO, on_read: Callable[[], None]) -> str:
    checksum = google_crc32c.Checksum()
    file.seek(0)
    while part := file.read(_CHUNK_BYTES):
        on_read()
        checksum.update(part)
    return base64.b64encode(checksum.digest()).decode("ascii")


class _Watched:
    """A file as the SDK reads it."""

    def __init__(self, file: BinaryIO, on_read: Callable[[], None]) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        self._on_read()
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

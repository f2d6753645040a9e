"""The files of one claim on their way to the bucket: all of them are there, or none is wanted."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import BinaryIO

from narrator_daemon.catalogue import FILE_DURATION, Record
from narrator_daemon.firebase.object_names import beside
from narrator_daemon.firebase.storage import AudioStore, StoredAudio
from narrator_daemon.narration.captions import CAPTION_FORMS, Captions
from narrator_daemon.narration.companions import Companion


class Delivery:
    """Uploads what was made under a claim, and deletes it where it has no place.

    Args:
        store: the bucket.
        book_id: of which book.
        token: of the claim.
        on_read: called before each part of a file that is read; what it raises ends the upload.
    """

    def __init__(
        self, store: AudioStore, book_id: str, token: str, on_read: Callable[[], None]
    ) -> None:
        self._store = store
        self._book_id = book_id
        self._on_read = on_read
        #: What the WAV is called.
        self.path = store.path(book_id, token)
        self._there: list[str] = []

    def upload(self, wav: BinaryIO, size: int) -> StoredAudio:
        """Upload the WAV. Before what lies beside it, so that its URL is the first to expire.

        Raises:
            Unavailable: storage does not take it.
        """
        return self._send(self.path, wav, size, "audio/wav")

    def upload_beside(self, companions: Sequence[Companion]) -> dict[str, Record]:
        """Upload what lies beside the WAV; as a book names it, by format.

        Raises:
            Unavailable: storage does not take one of them.
        """
        return {
            companion.form.name: self._send(
                beside(self.path, companion.form.name),
                companion.file,
                companion.size,
                companion.form.content_type,
            ).as_record()
            for companion in companions
        }

    def upload_captions(self, captions: Captions) -> dict[str, Record]:
        """Upload what says when the words are heard; as a book names it, by name.

        Raises:
            Unavailable: storage does not take one of them.
        """
        return {
            name: self._send(
                beside(self.path, name), io.BytesIO(data), len(data), CAPTION_FORMS[name]
            ).as_record()
            for name, data in captions.files.items()
        }

    def upload_preview(self, companion: Companion, seconds: float) -> Record:
        """Upload the beginning of a narration that is being made; as a book names it.

        Args:
            companion: the file.
            seconds: its length.

        Raises:
            Unavailable: storage does not take it.
        """
        path = beside(self.path, f"preview.{companion.form.name}")
        form = companion.form.content_type
        stored = self._send(path, companion.file, companion.size, form)
        return {**stored.as_record(), FILE_DURATION: round(seconds, 3)}

    def _send(self, path: str, file: BinaryIO, size: int, content_type: str) -> StoredAudio:
        file.seek(0)
        stored = self._store.upload(
            path,
            file,
            size,
            book_id=self._book_id,
            content_type=content_type,
            on_read=self._on_read,
        )
        self._there.append(path)
        return stored

    def leave(self) -> None:
        """Leave to the sweep what was uploaded."""
        self._there = []

    def delete(self, *, keep: Sequence[str] = ()) -> None:
        """Delete what was uploaded, as far as it can be; the sweep finds the rest.

        Args:
            keep: names of objects that a book names.

        Raises:
            Unavailable: one could not be deleted.
        """
        while self._there:
            path = self._there.pop()
            if path not in keep:
                self._store.delete(path)

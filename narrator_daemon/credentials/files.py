"""What is put into every finished file: the label, and credentials where somebody signs."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import BinaryIO

import numpy as np

from narrator_daemon import __version__
from narrator_daemon.credentials import signer as signers
from narrator_daemon.credentials.compressed import add_credentials_to_compressed
from narrator_daemon.credentials.manifest import Made
from narrator_daemon.credentials.signer import Signer
from narrator_daemon.credentials.wav import Finished, add_credentials
from narrator_daemon.settings import Settings
from narrator_daemon.wav import WavWriter


def signer_of(settings: Settings, *, throwaway: bool) -> Signer | None:
    """Who signs: whom the settings name; else, where that will do, a throwaway.

    Args:
        settings: all of them.
        throwaway: whether something that nobody trusts will do, as it does for trying things.

    Raises:
        ConfigError: what the settings name cannot be used.
    """
    named = signers.from_settings(settings.credentials)
    return named or (signers.throwaway() if throwaway else None)


class FileCredentials:
    """Puts label and credentials into files. Safe to use from several threads.

    Args:
        signer: who signs; None leaves the label alone.
        settings: all of them; the engine, its model and the producer are named.
        now: the time.
    """

    def __init__(
        self,
        signer: Signer | None,
        settings: Settings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._signer = signer
        self._settings = settings
        self._now = now

    def made(
        self,
        *,
        book_id: str,
        index: int,
        claim: str = "",
        take: int = 1,
        input_hash: str = "",
    ) -> Made:
        """What a file says that is finished now.

        Args:
            book_id: of which book it is.
            index: the index in its watermark.
            claim: the token of the claim it was made under; empty outside the daemon.
            take: which take of the book.
            input_hash: of text, voice and settings; empty outside the daemon.
        """
        speech, credentials = self._settings.speech, self._settings.credentials
        return Made(
            version=__version__,
            engine=speech.engine,
            model=speech.model if speech.engine == "csm" else "",
            book_id=book_id,
            claim=claim,
            take=take,
            input_hash=input_hash,
            watermark_index=index,
            at=self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            producer=credentials.producer,
        )

    def add(self, wav: BinaryIO, made: Made) -> Finished:
        """Put them into a finished WAV file.

        Args:
            wav: open for reading and writing.
            made: what they say.

        Returns:
            the file as it is now.

        Raises:
            CannotSign: the signer fails.
        """
        return add_credentials(wav, made, self._signer)

    def add_to_compressed(
        self,
        file: BinaryIO,
        form: str,
        made: Made,
        scratch: Callable[[], AbstractContextManager[BinaryIO]],
    ) -> int:
        """Put them into a finished M4A or MP3 file; as ``add_credentials_to_compressed``."""
        return add_credentials_to_compressed(file, form, made, self._signer, scratch)

    def check(self) -> None:
        """See that signing works, on a file of one sample.

        Raises:
            CannotSign: it does not.
        """
        file = io.BytesIO()
        with WavWriter(file, 1) as writer:
            writer.write(np.zeros(1, np.int16))
        self.add(file, self.made(book_id="check", index=0))

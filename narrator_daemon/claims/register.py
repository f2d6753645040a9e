"""The register: what was published, when, made of what, with which digests.

An entry is written as *pending* just before the outcome that publishes, and confirmed after it; a
worker that dies in between leaves one that the next sweep confirms or removes, by what its book
says. So that every narration that is shown has its entry, and no entry speaks of one that never
was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from narrator_daemon import __version__
from narrator_daemon.catalogue import Record, moment
from narrator_daemon.claims.work import Work
from narrator_daemon.credentials.wav import Finished
from narrator_daemon.firebase import register as node
from narrator_daemon.firebase.project import Project
from narrator_daemon.settings import Settings


@dataclass(frozen=True)
class FileDigest:
    """A file that will not change any more.

    Attributes:
        size: in bytes.
        digest: SHA-256 of all of it, hexadecimal.
    """

    size: int
    digest: str


class Register:
    """Enters this worker's publications.

    Args:
        project: the database.
        settings: engine, model and voice.
        fingerprint: all that shapes the audio besides the text (``narrate.fingerprint``).
        key_name: what the watermark key may be called before anybody (``marks.keys.fingerprint``).
    """

    def __init__(
        self, project: Project, settings: Settings, fingerprint: str, key_name: str
    ) -> None:
        self._project = project
        speech = settings.speech
        self._voice = _voice_of(settings)
        self._made_by: Record = {
            "version": __version__,
            "engine": speech.engine,
            "model": speech.model if speech.engine == "csm" else None,
            "revision": speech.revision if speech.engine == "csm" else None,
            "settings": fingerprint,
            "watermarkKey": key_name,
        }

    def enter(
        self,
        work: Work,
        path: str,
        file: Finished,
        seconds: float,
        index: int,
        voice: str = "",
        files: Mapping[str, FileDigest] = MappingProxyType({}),
    ) -> None:
        """Write the entry of a narration that is about to be published.

        Args:
            work: the claim.
            path: the object's name.
            file: as it was uploaded.
            seconds: of audio.
            index: the watermark's.
            voice: the name of the one that the book asked for; empty for the configured one.
            files: those beside it, as they were uploaded, by format.

        Raises:
            Unavailable: the database did not answer.
            NodeRefused: it takes no such entry.
        """
        claim = work.claim
        entry: dict[str, Any] = {
            "book": work.book_id,
            "take": claim.take,
            "path": path,
            "bytes": file.size,
            "seconds": seconds,
            "fileSha256": file.digest,
            "samplesSha256": file.samples_digest,
            "watermarkIndex": index,
            "inputHash": claim.input_hash,
            "textHash": claim.text_hash,
            "requestedAt": moment(claim.requested_at),
            "claimedAt": claim.at,
            "voice": voice or self._voice,
            "files": {
                name: {"bytes": one.size, "sha256": one.digest} for name, one in files.items()
            }
            or None,
            **self._made_by,
        }
        known = {name: value for name, value in entry.items() if value is not None}
        node.enter(self._project, work.token, known)

    def confirm(self, work: Work) -> None:
        """Say that it was published.

        Raises:
            Unavailable: the database did not answer.
        """
        node.confirm(self._project, work.token)

    def remove(self, work: Work) -> None:
        """Take back the entry of a narration that is not wanted any more.

        Raises:
            Unavailable: the database did not answer.
        """
        node.remove(self._project, work.token)


def _voice_of(settings: Settings) -> str | None:
    """The configured voice, as far as it has a name."""
    voice = settings.voice
    if settings.speech.engine == "kokoro":
        return voice.default or settings.kokoro.voice
    return voice.default or voice.prompt or (voice.reference.name if voice.reference else None)

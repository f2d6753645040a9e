"""Preconditions of requests: what must be true of an object before anything is done with it.

Source: https://cloud.google.com/storage/docs/request-preconditions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from narrator_daemon.emulator.storage.objects import StorageError, StoredObject, invalid

_NAMES = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
_NUMBER = re.compile(r"[0-9]{1,19}\Z")
# The XML API's names, which signed URLs are used with.
_HEADERS = {
    "GenerationMatch": "x-goog-if-generation-match",
    "MetagenerationMatch": "x-goog-if-metageneration-match",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must be true of one object.

    Attributes:
        wanted: the number that each condition names.
        generation: the one generation that is meant, None for the one that is there.
    """

    wanted: tuple[tuple[str, int], ...] = ()
    generation: int | None = None

    @classmethod
    def parse(cls, given: Mapping[str, str], prefix: str = "if") -> Conditions:
        """The conditions in the parameters of a request.

        Args:
            given: the query string, or the like.
            prefix: ``if`` for the object itself, ``ifSource`` for one that is copied.

        Raises:
            StorageError: a condition is no number.
        """
        wanted = [
            (name, _number(prefix + name, given[prefix + name]))
            for name in _NAMES
            if prefix + name in given
        ]
        which = "generation" if prefix == "if" else "sourceGeneration"
        generation = _number(which, given[which]) if which in given else None
        return cls(tuple(wanted), generation)

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Conditions:
        """The conditions in the headers of a request to the XML API.

        Raises:
            StorageError: a condition is no number.
        """
        return cls(
            tuple(
                (name, _number(header, headers[header]))
                for name, header in _HEADERS.items()
                if header in headers
            )
        )

    def check(self, stored: StoredObject | None, *, reading: bool = False) -> None:
        """Refuse the request if they don't hold.

        Args:
            stored: the object; None where there is none, whose generation is 0.
            reading: whether "it has not changed" is an answer rather than a refusal.

        Raises:
            StorageError: 412, or 304.
        """
        for name, number in self.wanted:
            found = 0
            if stored is not None:
                meta = name.startswith("Meta")
                found = stored.metageneration if meta else stored.generation
            if (found == number) == name.endswith("NotMatch"):
                if reading and name.endswith("NotMatch"):
                    raise StorageError(304, "Not Modified", "notModified")
                raise StorageError(
                    412,
                    "At least one of the pre-conditions you specified did not hold.",
                    "conditionNotMet",
                )

    def pick(self, stored: StoredObject | None) -> StoredObject | None:
        """The object, if it is of the generation that is meant: older ones are not kept."""
        if stored is None or self.generation in (None, stored.generation):
            return stored
        return None


def _number(name: str, text: str) -> int:
    if not _NUMBER.match(text):
        raise invalid(f"Invalid value for {name}: {text!r:.80}")
    return int(text)

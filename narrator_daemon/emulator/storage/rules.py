"""Who may do what with the files of a bucket, as storage rules say; asked for clients alone.

Source: https://firebase.google.com/docs/storage/security
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.storage.answers import TOKENS, etag
from narrator_daemon.emulator.storage.objects import Metadata, StoredObject
from narrator_daemon.emulator.storage.rules_language import Match, Segment, parse
from narrator_daemon.emulator.storage.rules_values import EvaluationError, PathValue


def default_rules() -> str:
    """The rules of a local Firebase that was given none: those of ``deploy/firebase``."""
    return resources.files(__package__).joinpath("default.rules").read_text()


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a write would leave.

    Attributes:
        metadata: what the client says about the object.
        size: bytes.
        md5: of the content, base64.
        crc32c: of the content, base64.
    """

    metadata: Metadata
    size: int
    md5: str
    crc32c: str


class StorageRules:
    """A set of storage rules.

    Args:
        source: the text of a rules file.

    Raises:
        StorageRulesError: it cannot be used.
    """

    def __init__(self, source: str) -> None:
        self._version, self._service = parse(source)

    def allows(
        self,
        method: str,
        caller: Caller,
        bucket: str,
        name: str,
        stored: StoredObject | None,
        proposed: Proposed | None,
        now: float,
    ) -> bool:
        """Whether a caller may do something.

        Args:
            method: ``get``, ``list``, ``create``, ``update`` or ``delete``.
            caller: who asks; an admin may do everything.
            bucket: where.
            name: the object, or for ``list`` the folder.
            stored: what is there.
            proposed: what would be there.
            now: seconds since the epoch.
        """
        if caller.admin:
            return True
        path = ("b", bucket, "o", *[part for part in name.split("/") if part])
        request = {
            "auth": None if caller.auth is None else dict(caller.auth),
            "method": method,
            "path": PathValue(path),
            "time": datetime.fromtimestamp(now, UTC),
            "resource": None if proposed is None else _proposed(bucket, name, proposed),
        }
        scope = {
            "request": request,
            "resource": None if stored is None else _shown(stored),
            "()": 0,
        }
        return any(
            method in methods and _holds(condition, inside)
            for match, inside in self._matching(self._service, path, scope)
            for methods, condition in match.allows
        )

    def _matching(
        self, match: Match, path: tuple[str, ...], scope: Mapping[str, Any]
    ) -> Iterator[tuple[Match, Mapping[str, Any]]]:
        """The blocks that match a whole path, each with what its conditions see."""
        found = self._bound(match.path, path)
        if found is None:
            return
        variables, rest = found
        inside = {**scope, **variables}
        for name, function in match.functions.items():
            inside[f"{name}()"] = (function, inside)
        if not rest:
            yield match, inside
        for below in match.below:
            yield from self._matching(below, rest, inside)

    def _bound(
        self, segments: tuple[Segment, ...], path: tuple[str, ...]
    ) -> tuple[dict[str, Any], tuple[str, ...]] | None:
        """The variables of a match and what it leaves of a path, None if it does not match."""
        variables: dict[str, Any] = {}
        for position, segment in enumerate(segments):
            if segment.rest:
                rest = path[position:]
                # In version 1 there must be something for it to stand for.
                if not rest and self._version == 1:
                    return None
                return {**variables, segment.name: PathValue(rest)}, ()
            if position >= len(path) or (segment.literal and path[position] != segment.literal):
                return None
            if segment.name:
                variables[segment.name] = path[position]
        return variables, path[len(segments) :]


def _holds(condition: Any, scope: Mapping[str, Any]) -> bool:
    try:
        return condition(scope) is True
    except (EvaluationError, RecursionError):
        return False


def _described(bucket: str, name: str, metadata: Metadata) -> dict[str, Any]:
    custom = {key: value for key, value in metadata.custom.items() if key != TOKENS}
    return {
        **metadata.fields,
        "name": name,
        "bucket": bucket,
        "contentType": metadata.content_type,
        "metadata": custom,
    }


def _proposed(bucket: str, name: str, proposed: Proposed) -> dict[str, Any]:
    return {
        **_described(bucket, name, proposed.metadata),
        "size": proposed.size,
        "md5Hash": proposed.md5,
        "crc32c": proposed.crc32c,
    }


def _shown(stored: StoredObject) -> dict[str, Any]:
    return {
        **_described(stored.bucket, stored.name, stored.metadata),
        "size": stored.size,
        "md5Hash": stored.md5,
        "crc32c": stored.crc32c,
        "etag": etag(stored),
        "generation": stored.generation,
        "metageneration": stored.metageneration,
        "timeCreated": datetime.fromtimestamp(stored.created, UTC),
        "updated": datetime.fromtimestamp(stored.updated, UTC),
    }

"""Looks for what must not be told: keys, tokens, signatures and book text, in logs and database."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: In every text that the frontends of a drill write, and in nothing else.
TEXT = "of the book named"

#: Where each may stand in the database, by its path there.
_ALLOWED = {
    "signature": re.compile(
        r"books/[^/]+/narrativeAudio(Url|(Files|Captions)/\w+/url|Preview/url)"
    ),
    "book text": re.compile(r"books/[^/]+/narrative"),
}
_PATTERNS = {
    # V4 signatures and the tokens of download URLs.
    "signature": re.compile(r"(?i)(?:signature|[?&]token)=[0-9a-f-]{16}"),
    "private key": re.compile(r"PRIVATE KEY-----\s*[A-Za-z0-9+/]{8}"),
    "access token": re.compile(r"ya29\.[\w-]{8}|(?i:bearer\s+[\w.-]{12})"),
}


@dataclass(frozen=True)
class Secrets:
    """What the daemons of a drill are given to keep.

    Attributes:
        watermark_key: hexadecimal.
        hub_token: for the model.
    """

    watermark_key: str = field(default_factory=lambda: secrets.token_hex(32))
    hub_token: str = field(default_factory=lambda: "hf_" + secrets.token_hex(17))

    @property
    def environment(self) -> dict[str, str]:
        """As an operator gives them to a daemon."""
        return {"NARRATOR_WATERMARK_KEY": self.watermark_key, "HF_TOKEN": self.hub_token}

    def told(self, logs: Mapping[str, str], database: object) -> list[str]:
        """Where a secret is told; never which it is.

        Args:
            logs: by the name of who wrote them.
            database: all that it holds.
        """
        found = [
            f"secret: {kind} in the log of {name}"
            for name, log in logs.items()
            for kind in self._in(log)
        ]
        for path, leaf in _leaves(database):
            for kind in self._in(leaf):
                allowed = _ALLOWED.get(kind)
                if allowed is None or not allowed.fullmatch(path):
                    found.append(f"secret: {kind} at /{path}")
        return found

    def _in(self, text: str) -> Iterator[str]:
        if self.watermark_key in text.lower():
            yield "watermark key"
        if self.hub_token in text:
            yield "hub token"
        if TEXT in text:
            yield "book text"
        yield from (kind for kind, pattern in _PATTERNS.items() if pattern.search(text))


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a JSON value, and each key, with its path."""
    children: Any = enumerate(value) if isinstance(value, list) else None
    if isinstance(value, dict):
        children = value.items()
    if children is None:
        yield path, str(value)
        return
    for key, child in children:
        below = f"{path}/{key}" if path else str(key)
        yield below, str(key)
        yield from _leaves(child, below)

"""Why a book failed: the closed list of codes, and one error as an admin reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Why a book failed. The list is closed: frontends may switch on it."""

    NO_TEXT = "no_text"
    TEXT_NOT_STRING = "text_not_string"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_WORDS = "too_many_words"
    NOTHING_SPEAKABLE = "nothing_speakable"
    UNKNOWN_VOICE = "unknown_voice"
    BAD_CAST = "bad_cast"
    BAD_LEXICON = "bad_lexicon"
    NO_SUCH_SEGMENT = "no_such_segment"
    SEGMENTS_NOT_KEPT = "segments_not_kept"
    ENGINE_ERROR = "engine_error"
    OUT_OF_MEMORY = "out_of_memory"
    STUCK = "stuck"
    WORKER_LOST = "worker_lost"
    REFUSED = "refused"
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True)
class Failure:
    """One error as an admin reads it: a code of the closed list and a plain sentence."""

    code: ErrorCode
    message: str

    def as_record(self) -> dict[str, Any]:
        """The form in which a claim remembers it: ``{code, message}``."""
        return {"code": self.code.value, "message": self.message}

    @classmethod
    def from_record(cls, value: object) -> Failure | None:
        """The failure a claim remembers, or None where it holds none that can be read."""
        if not isinstance(value, Mapping):
            return None
        code, message = value.get("code"), value.get("message")
        if not isinstance(message, str) or not isinstance(code, str) or code not in set(ErrorCode):
            return None
        return cls(ErrorCode(code), message)

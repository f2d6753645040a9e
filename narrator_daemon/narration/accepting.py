"""What of a text can be read aloud, and what is said of one that cannot."""

from __future__ import annotations

from csm import SAMPLE_RATE
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.errors import NarratorError
from narrator_daemon.settings import Limits
from narrator_daemon.wav import MOST_SAMPLES


class Unnarratable(NarratorError):
    """The text cannot be narrated, now or later."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def check_text(text: object, limits: Limits) -> str:
    """The text to read, if there is one within the limits.

    Args:
        text: what the book holds, of any JSON type.
        limits: most characters (Unicode code points) and words (between white space).

    Raises:
        Unnarratable: it is not text, holds nothing, or too much; the message is for an admin.
    """
    if text is None:
        raise fault(ErrorCode.NO_TEXT, "The book has no text to read.")
    if not isinstance(text, str):
        kind = {bool: "a yes/no value", int: "a number", float: "a number", list: "a list"}.get(
            type(text), "a group of fields"
        )
        raise fault(ErrorCode.TEXT_NOT_STRING, f"The book's text is {kind}, not text.")
    if not text.strip():
        raise fault(ErrorCode.NO_TEXT, "The book's text is empty.")
    if len(text) > limits.max_characters:
        raise fault(
            ErrorCode.TEXT_TOO_LONG,
            f"The text has {len(text):,} characters; at most {limits.max_characters:,} can be "
            "read. Shorten it and ask again.",
        )
    words = len(text.split())
    if words > limits.max_words:
        raise fault(
            ErrorCode.TOO_MANY_WORDS,
            f"The text has {words:,} words; at most {limits.max_words:,} can be read. "
            "Shorten it and ask again.",
        )
    return text


def check_length(samples: int) -> None:
    """See that a WAV can hold so many samples.

    Raises:
        Unnarratable: it cannot.
    """
    if samples > MOST_SAMPLES:
        raise fault(
            ErrorCode.TEXT_TOO_LONG,
            "Read aloud, the text is longer than the "
            f"{MOST_SAMPLES / SAMPLE_RATE / 3600:.1f} hours that a WAV file can hold. "
            "Divide it and ask again.",
        )


def fault(code: ErrorCode, message: str) -> Unnarratable:
    """What is raised of a book that cannot be narrated as it is."""
    return Unnarratable(Failure(code, message))

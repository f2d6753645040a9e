"""What text is accepted to be read, and how much sound."""

from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.narration.accepting import Unnarratable, check_length, check_text
from narrator_daemon.settings import Limits
from narrator_daemon.wav import MOST_SAMPLES

LIMITS = Limits(max_characters=20, max_words=3)


@pytest.mark.parametrize("text", ["a", " a ", "x" * 20, "one two three", " 12345678901234567 \n"])
def test_what_is_within_the_limits_is_read_as_it_stands(text: str) -> None:
    assert check_text(text, LIMITS) == text


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (None, ErrorCode.NO_TEXT, "has no text"),
        ("", ErrorCode.NO_TEXT, "is empty"),
        (" \n\u2003", ErrorCode.NO_TEXT, "is empty"),
        (True, ErrorCode.TEXT_NOT_STRING, "a yes/no value"),
        (5, ErrorCode.TEXT_NOT_STRING, "a number"),
        (0.5, ErrorCode.TEXT_NOT_STRING, "a number"),
        (["a"], ErrorCode.TEXT_NOT_STRING, "a list"),
        ({"a": "b"}, ErrorCode.TEXT_NOT_STRING, "a group of fields"),
        ("x" * 21, ErrorCode.TEXT_TOO_LONG, "21 characters; at most 20"),
        ("a b c d", ErrorCode.TOO_MANY_WORDS, "4 words; at most 3"),
    ],
)
def test_what_is_not_is_refused_with_a_reason(text: Any, code: ErrorCode, message: str) -> None:
    with pytest.raises(Unnarratable, match=message) as refused:
        check_text(text, LIMITS)
    assert refused.value.failure.code is code


def test_no_more_sound_is_made_than_a_wav_holds() -> None:
    check_length(MOST_SAMPLES)
    with pytest.raises(Unnarratable, match=r"longer than the 24\.9 hours") as refused:
        check_length(MOST_SAMPLES + 1)
    assert refused.value.failure.code is ErrorCode.TEXT_TOO_LONG

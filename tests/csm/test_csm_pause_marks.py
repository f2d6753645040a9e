"""Pauses that a text asks for, and marks that want to hurt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csm.text import NothingToSpeak, segment
from csm.text.pause_marks import LONGEST, SHORTEST, taken_out
from csm.text.words import page_words


def pauses(text: str) -> list[tuple[str, float | None]]:
    return [
        (sentence.text, sentence.pause)
        for part in segment(text, pause_marks=True)
        for sentence in part.sentences
    ]


@pytest.mark.parametrize(
    ("mark", "seconds"),
    [
        ("[pause 2s]", 2.0),
        ("[pause]", 1.0),
        ("[PAUSE 2.5 seconds]", 2.5),
        ("[pause: 1,5 s]", 1.5),
        ("[silence 500ms]", 0.5),
        ("[ pause 3 ]", 3.0),
        ('<break time="2s"/>', 2.0),
        ("<break time='750ms' />", 0.75),
        ("<break/>", 1.0),
        ("[pause 0s]", SHORTEST),
        ("[pause 999999999s]", LONGEST),
        ("[pause 1s] [pause 2s]", 3.0),
        ("[pause 9s][pause 9s]", LONGEST),
    ],
)
def test_a_mark_is_a_pause_of_its_length(mark: str, seconds: float) -> None:
    assert pauses(f"She waited for the others. {mark} Nobody came to the house.") == [
        ("She waited for the others.", seconds),
        ("Nobody came to the house.", None),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Inside a sentence, which goes on.
        (
            "She waited in the hall [pause 2s] and then she left the house.",
            [("She waited in the hall,", 2.0), ("and then she left the house.", None)],
        ),
        (
            'He said, "I waited for hours[pause 1s]and nobody came."',
            [('He said, "I waited for hours,', 1.0), ('and nobody came."', None)],
        ),
        # On a line of its own, in place of what is usual there.
        (
            "The end of the first part.\n\n[pause 3s]\n\nThe start of the second.",
            [("The end of the first part.", 3.0), ("The start of the second.", None)],
        ),
        (
            "It was so.\n\n[pause 4s]\n\nChapter II\n\nThen it was not.",
            [("It was so.", 4.0), ("Chapter Two.", None), ("Then it was not.", None)],
        ),
        # Where there is silence anyway.
        (
            "[pause 2s] It was so, and no other way. [pause 2s]",
            [("It was so, and no other way.", None)],
        ),
        # What is no mark is text.
        (
            "It says [pause for thought] here, doesn't it?",
            [("It says pause for thought here, doesn't it?", None)],
        ),
    ],
)
def test_where_it_stands(text: str, found: list[tuple[str, float | None]]) -> None:
    assert pauses(text) == found


def test_a_segment_ends_where_a_pause_is_but_for_what_is_too_short() -> None:
    parts = segment(
        "She waited in the hall [pause 2s] and then she left the house. Wait. [pause 1s] It came.",
        pause_marks=True,
    )
    assert [part.text for part in parts] == [
        "She waited in the hall,",
        "and then she left the house. Wait. It came.",
    ]
    assert [one.pause for one in parts[1].sentences] == [None, 1.0, None]


def test_off_nothing_changes() -> None:
    text = "She waited [pause 2s] in the hall."
    assert segment(text) == segment(text, pause_marks=False)
    assert "pause" in segment(text)[0].text
    plain = "It was a bright cold day in April.\n\nThe clocks were striking thirteen."
    assert segment(plain) == segment(plain, pause_marks=True)


def test_places_of_words_are_those_of_the_text_as_it_is_held() -> None:
    text = (
        "In 1815 <b>she</b> waited [pause 2s] and left.[pause]Then, Cafe\u0301s [pause 1s]"
        "\n\nclosed."
    )
    parts = segment(text, pause_marks=True)
    found = page_words([word for part in parts for word in part.words], text)
    assert [text[word.start : word.end] for word in found] == (
        ["In", "1815", "she", "waited", "and", "left", "Then", "Cafe\u0301s", "closed"]
    )
    assert all("pause" not in text[slice(*word.outer)] for word in found)


_PIECES = st.lists(
    st.sampled_from(
        [
            "[pause 2s]",
            "[pause]",
            "<break/>",
            "word",
            "Mr. X",
            " ",
            ". ",
            "\n\n",
            '"',
            "# ",
            "[",
            "5",
        ]
    ),
    max_size=30,
)


@given(_PIECES)
def test_whatever_stands_around_marks_no_word_is_lost_or_made(pieces: list[str]) -> None:
    text = "".join(pieces)
    without, marks = taken_out(text)
    assert len(marks) == sum(text.count(mark) for mark in ("[pause 2s]", "[pause]", "<break/>"))
    try:
        wanted = [
            word.strip(".,;:!?\"'") for part in segment(without.text) for word in part.text.split()
        ]
    except NothingToSpeak:
        with pytest.raises(NothingToSpeak):
            segment(text, pause_marks=True)
        return
    parts = segment(text, pause_marks=True)
    got = [word.strip(".,;:!?\"'") for part in parts for word in part.text.split()]
    assert [one.lower() for one in got] == [one.lower() for one in wanted]
    for part in parts:
        assert len(part.words) == len(part.text.split())
        assert all(one.pause is None or SHORTEST <= one.pause <= LONGEST for one in part.sentences)

"""Who says what, and what of a text is read in which voice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from benchmarks.attribution import PAGES, counts
from csm.text import Cast, NothingToSpeak, normalise, segment
from csm.text.dialogue import quotes, speaker_key
from tests.csm.test_csm_text import any_text

CAST = Cast({"alice": "a", "hatter": "h", "mister darcy": "d"})


def voices(text: str, cast: Cast = CAST) -> list[tuple[str, str]]:
    return [(part.voice, part.text) for part in segment(text, cast=cast)]


def speakers(text: str) -> list[str]:
    return [quote.speaker for quote in quotes(normalise(text).split("\n\n"))]


@pytest.mark.parametrize("folder", [PAGES, PAGES / "held_out"])
def test_nine_of_ten_attributed_quotes_are_right(folder: Path) -> None:
    total = {"right": 0, "wrong": 0, "unsure": 0}
    for path in folder.glob("*.txt"):
        for name, count in counts(path).items():
            total[name] += count
    assert total["right"] / (total["right"] + total["wrong"]) >= 0.9
    assert total["unsure"] / sum(total.values()) <= 0.3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Why?" said Alice.', ["Alice"]),
        ('"Why?" asked the March Hare.', ["the March Hare"]),
        ('"Why?" Alice hastily replied; "I do."', ["Alice", "Alice"]),
        ('Alice sighed wearily. "I think so."', ["Alice"]),
        ('And then Alice said: "I think so."', ["Alice"]),
        ('"No room!" they cried out when they saw Alice.', [""]),
        ('"Why?" said he.', [""]),
        ('"Why?" a voice asked.', [""]),
        ('"Keep it!" repeated Scrooge’s nephew.', ["Scrooge's nephew"]),
        ("“I go,” said I.", ["I"]),
        ('"A." said Alice.\n\n"B." said Bob.\n\n"C."\n\n"D."', ["Alice", "Bob", "Alice", "Bob"]),
        ('"A." said Alice.\n\n"B." said Bob.\n\n"Now, Alice, C."', ["Alice", "Bob", ""]),
        ('"One," said Alice. "And\n\n"two."', ["Alice", "Alice", "Alice"]),
    ],
)
def test_speakers(text: str, expected: list[str]) -> None:
    assert speakers(text) == expected


def test_turns_end_where_nobody_was_named_for_long() -> None:
    text = '"A." said Alice.\n\n"B." said Bob.' + '\n\n"C."' * 12
    assert speakers(text)[-1] == ""
    assert speakers(text)[4] == "Alice"


def test_titles_and_articles_make_no_other_speaker() -> None:
    assert speaker_key("Mr. Darcy") == speaker_key("Mister Darcy") == "mister darcy"
    assert speaker_key("the Hatter") == "hatter"
    assert Cast({"darcy": "d"}).voice_of("Mister Darcy") == "d"
    assert Cast({"mister bennet": "m", "missus bennet": "f"}).voice_of("Bennet") == ""


def test_each_voice_reads_its_own() -> None:
    text = (
        '"Why is a raven like a writing-desk?" said the Hatter to all of them. "You should learn '
        'not to make personal remarks," Alice said with some severity; "it is very rude of you."'
    )
    text = text.replace(' "You should', '\n\n"You should')
    assert voices(text) == [
        ("h", '"Why is a raven like a writing-desk?"'),
        ("", "said the Hatter to all of them."),
        ("a", '"You should learn not to make personal remarks,"'),
        ("", "Alice said with some severity;"),
        ("a", '"it is very rude of you."'),
    ]


def test_what_is_too_short_alone_stays_with_its_neighbour() -> None:
    parts = voices('"Yes," said Alice. "It is so, and has been so for a very long time indeed."')
    assert [voice for voice, _ in parts] == ["a", "", "a"] or all(
        len(text) >= 10 for _, text in parts
    )


def test_the_voice_for_dialogue_reads_what_nobody_of_the_cast_says() -> None:
    text = '"It was never like that before," somebody said in the dark. He went away at once.'
    assert [voice for voice, _ in voices(text, Cast(dialogue="b"))] == ["b", ""]
    assert [voice for voice, _ in voices(text)] == [""]


def test_words_keep_their_places_where_voices_change() -> None:
    text = '"Why is a raven like a desk?" said the Hatter. "I do not know it," Alice replied.'
    parts = segment(text, cast=CAST)
    words = [text[word.start : word.end] for part in parts for word in part.words]
    assert words == text.split()


def test_a_cast_that_names_nobody_changes_nothing() -> None:
    text = '"Why?" said Alice. "It was never like that before," and she went away at once.'
    assert segment(text, cast=Cast({"nobody": "x"})) == segment(text)


@settings(deadline=None, max_examples=60)
@given(any_text)
def test_no_word_is_lost_in_any_cast(text: str) -> None:
    try:
        plain = segment(text)
    except NothingToSpeak:
        return
    cast = segment(text, cast=Cast(dialogue="b"))

    def words(parts: list) -> str:  # type: ignore[type-arg]
        return "".join(letter for part in parts for letter in part.text.lower() if letter.isalnum())

    assert words(cast) == words(plain)
    assert all(len(part.text) <= 300 for part in cast)
    assert all(len(part.words) == len(part.text.split()) for part in cast)
    assert len(cast) == 1 or all(len(part.text) >= 10 or len(cast) < 3 for part in cast)

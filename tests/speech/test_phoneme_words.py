"""Words found again in what a phonemiser ran together or took apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csm.said import Said
from narrator_daemon.speech.phoneme_words import sounds, word_places, words_alone


@pytest.mark.parametrize(
    ("words", "said", "parts"),
    [
        (["wˈɔnt", "ʌv", "ˈeɪ", "wˈaɪf"], "^wˈɔnt əvə wˈaɪf.$", ["wˈɔnt ", "əv", "ə ", "wˈaɪf.$"]),
        (["twˈɛnti fˈaɪv", "mˈɛn"], "twˈɛnti fˈaɪv mˈɛn", ["twˈɛnti fˈaɪv ", "mˈɛn"]),
        (["hˈɪm", "wˈʌn"], "hˌɪm wˈʌn", ["hˌɪm ", "wˈʌn"]),
        (["ˈoʊ", "", "nˈoʊ"], "ˈoʊ nˈoʊ", ["ˈoʊ ", "", "nˈoʊ"]),
    ],
)
def test_words_in_what_was_said(words: list[str], said: str, parts: list[str]) -> None:
    places = word_places(words, said)
    ends = [*places[1:], len(said)]
    assert [said[begin:end] for begin, end in zip(places, ends, strict=True)] == parts


def test_a_word_of_which_nothing_is_heard_begins_with_the_next() -> None:
    assert word_places(["", "ab", ""], "ab") == [0, 0, 2]


@given(st.lists(st.text("abɪˈ ", max_size=5), max_size=12), st.text("abɪˈ .,", max_size=40))
def test_places_never_descend(words: list[str], said: str) -> None:
    places = word_places(words, said)
    assert len(places) == len(words)
    assert places == sorted(places)
    assert all(0 <= place <= len(said) for place in places)


@given(st.lists(st.text("abdefgɪ", min_size=1, max_size=5), max_size=12))
def test_what_was_said_as_it_stands_is_found_exactly(words: list[str]) -> None:
    said = " ".join(words)
    places = word_places(words, said)
    assert places == [len(" ".join(words[:number])) + bool(number) for number in range(len(words))]
    assert all(said[place] == sounds(word)[0] for place, word in zip(places, words, strict=True))


def test_words_said_by_their_ipa_are_alone_what_they_are_said_as() -> None:
    text = '"Mister Darcy," said Emma\'s friend Bing Lee.'
    spans = [("Mister Darcy", "m d"), ("Emma's", "ɛ"), ("Bing Lee", "b")]
    given = [Said(text.index(one), text.index(one) + len(one), ipa) for one, ipa in spans]
    alone = words_alone(text, given, lambda words: [word.upper() for word in words])
    assert alone == ["m", "d", "SAID", "ɛ", "FRIEND", "b", ""]
    assert words_alone("", [], lambda words: list(words)) == []

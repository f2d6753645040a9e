"""Names and rare words of a text, for a lexicon."""

from __future__ import annotations

from pathlib import Path

import pytest

from csm.text import lexicon as lexicons
from narrator_daemon.commands.lexicon import dictionary, is_known, lines, listen, suggest

TEXT = (
    "Mr. Bingley's friend walked twenty-five miles, quickly, to Netherfield. BINGLEY stopped; the "
    "horses' harnesses were carried by Darcy."
)
WORDS = {
    *("friend", "walk", "twenty", "five", "mile", "quick", "stop", "the", "horse", "harness"),
    *("were", "carry"),
}


def found(text: str = TEXT, lexicon: str = "") -> list[tuple[str, int]]:
    told = suggest(text, WORDS.__contains__, lexicons.parse(lexicon))
    return [(one.word, one.count) for one in told]


def test_what_no_dictionary_knows_the_most_frequent_first() -> None:
    assert found() == [("Bingley", 2), ("Darcy", 1), ("Netherfield", 1)]


def test_what_the_lexicon_holds_is_left_out() -> None:
    assert found(lexicon="Bingley\tBing-lee\nDarcy\tDar see") == [("Netherfield", 1)]


@pytest.mark.parametrize("word", ["miles", "carried", "stopped", "quickly", "twenty-five"])
def test_forms_of_a_word_are_known(word: str) -> None:
    assert is_known(word, WORDS.__contains__)
    assert not is_known("zz" + word, WORDS.__contains__)


def test_what_is_heard_wrong_comes_first() -> None:
    told = suggest(TEXT, WORDS.__contains__, lexicons.EMPTY)
    heard = listen(told, lambda asked: [one.replace("Darcy", "Dorsey") for one in asked])
    assert [one.word for one in heard] == ["Darcy", "Bingley", "Netherfield"]
    assert "Dorsey" in heard[0].heard
    assert heard[1].heard == ""


def test_what_is_printed_is_a_lexicon_once_it_is_completed() -> None:
    told = list(lines(suggest(TEXT, WORDS.__contains__, lexicons.EMPTY)))
    assert not lexicons.parse("\n".join(told))
    completed = [line.removeprefix("#") + "x" if line[1] != " " else line for line in told]
    assert len(lexicons.parse("\n".join(completed)).entries) == 3


def test_the_dictionary_and_words_of_ones_own(tmp_path: Path) -> None:
    pytest.importorskip("spellchecker")
    own = tmp_path / "words.txt"
    own.write_text("Netherfield\n", encoding="utf-8")
    known = dictionary(own)
    assert known("friend")
    assert known("netherfield")
    assert not known("zorblax")

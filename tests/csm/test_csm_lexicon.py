"""Names said as a list has it, and lists that want to hurt."""

from __future__ import annotations

import itertools
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csm.text import segment
from csm.text.characters import clean
from csm.text.lexicon import EMPTY, MOST_LINES, BadLexicon, Lexicon, merged, parse
from csm.text.pronounced import pronounced, said
from csm.text.traced import Traced
from csm.text.words import page_words

TEXT = "Mr. Bingley’s friend Mr.  Darcy met BINGLEY, Bing and Foo near St. Ives in 1815."


def read(lexicon: Lexicon, text: str = TEXT) -> str:
    return " ".join(part.text for part in segment(text, lexicon=lexicon))


def replaced(text: str, lines: str) -> str:
    return parse(lines).applied(Traced(text)).text


@pytest.mark.parametrize(
    ("lines", "spoken"),
    [
        ("Bingley\tBing-lee", "Mister Bing-lee's friend Mister Darcy met Bing-lee, Bing"),
        ("Bingley\tBing-lee\t\tcase", "Mister Bing-lee's friend Mister Darcy met Bingley, Bing"),
        ("Mr. Darcy\tMister Dar see", "friend Mister Dar see met"),
        ("mr. darcy\tMister Dar see", "friend Mister Dar see met"),
        ("bing\tbang", "met Bingley, bang and"),
        ("bing\tbang\t\tpart", "Mister bangley's friend Mister Darcy met bangLEY, bang and"),
        ("St. Ives\tSaint Ivz\n# Foo\tBar\n\n", "Foo near Saint Ivz in eighteen fifteen."),
        ("1815\tthe year of Waterloo", "in the year of Waterloo."),
        ("Bingley’s\tBing-lees", "Mister Bing-lees friend"),
        ("Foo\tDr. Foo\n", "Bing and Doctor Foo near"),
    ],
)
def test_what_is_written_is_read_as_the_list_has_it(lines: str, spoken: str) -> None:
    assert spoken in read(parse(lines))


def test_the_longest_counts_and_nothing_is_replaced_twice() -> None:
    assert replaced("a b c a b", "a\tb\na b\tA-B\nb\tx") == "A-B c A-B"
    assert replaced("to be", "to\ttwo be\nbe\tbee") == "two be bee"


def test_places_on_the_page_stay_known() -> None:
    (part,) = segment(TEXT, lexicon=parse("Mr. Darcy\tMister Dar see man"))
    places = {TEXT[word.start : word.end]: word.count for word in page_words(part.words, TEXT)}
    assert places["Mr.  Darcy"] == 4
    assert places["Bingley’s"] == 1


def test_the_books_own_list_goes_before_the_catalogues() -> None:
    both = merged(parse("Bingley\tone\nDarcy\ttwo"), parse("bingley\tthree\t\tcase"))
    assert both.applied(Traced("bingley Darcy")).text == "three two"
    assert merged(EMPTY, both) is both
    assert merged(both, EMPTY) is both


def test_ipa_is_for_voices_that_take_it() -> None:
    lexicon = parse("Hermione\t\t/hɜːˈmaɪəni/\nBingley\tBing-lee\tbˈɪŋli\n")
    spelled = lexicon.with_phonemes(taken=False)
    assert spelled.applied(Traced("Hermione Bingley")).text == "Hermione Bing-lee"
    assert lexicon.with_phonemes(taken=True).applied(Traced("Bingley")).text == "Bingley"
    assert lexicon.with_phonemes(taken=True) is lexicon.with_phonemes(taken=True)


def names_in(text: str, *lines: str) -> list[tuple[str, str]]:
    found = said(text, pronounced(parse("\n".join(lines))))
    assert found == sorted(found, key=lambda one: one.start)
    return [(text[one.start : one.end], one.ipa) for one in found]


def test_what_is_said_by_ipa_is_found_in_a_text_as_it_is_read() -> None:
    assert names_in("I met Hermione, hermione.", "Hermione\t\thɜːˈmaɪəni") == [
        ("Hermione", "hɜːˈmaɪəni"),
        ("hermione", "hɜːˈmaɪəni"),
    ]
    assert names_in("A Polish man can polish it.", "Polish\t\tˈpoʊlɪʃ\tcase") == [
        ("Polish", "ˈpoʊlɪʃ")
    ]
    # As the page has it, and as it is read.
    assert names_in(
        "Mister Darcy saw Louis the Fourteenth.", "Mr. Darcy\t\tx y", "Louis XIV\t\tz"
    ) == [
        ("Mister Darcy", "x y"),
        ("Louis the Fourteenth", "z"),
    ]
    assert names_in("Nobody.", "Hermione\ther my oh nee") == []


@pytest.mark.parametrize(("ipa", "ending"), [("dɑːsi", "z"), ("pæt", "s"), ("dʒɔːdʒ", "ɪz")])
def test_a_possessive_is_said_behind_it(ipa: str, ending: str) -> None:
    spelled = unicodedata.normalize("NFC", ipa)
    assert names_in("It was Darcy's.", f"Darcy\t\t{ipa}") == [("Darcy's", spelled + ending)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Bingley", "has no tab"),
        ("a\tb\tc\td\te", "more than four columns"),
        ("a\t\tx\tpart", "takes no IPA"),
        ("a\t\t\t", "neither what is read nor how it is said"),
        ("...\tb", "no letter or digit in what is written"),
        ("a\t...", "no letter or digit in what is read"),
        ("a\tb\t\tregex", "other rules"),
        ("a b\tc\t\tpart", "is no part of one"),
        ("a\tb\t[[x]]", "no IPA"),
        ("a" * 201 + "\tb", "more than 200 characters"),
        ("A\tb", "same writing as line 1"),
    ],
)
def test_a_bad_line_is_named(line: str, why: str) -> None:
    with pytest.raises(BadLexicon) as error:
        parse(f"a\tx\n\n# fine\n{line}\n")
    assert str(error.value).startswith("line 4 ")
    assert why in str(error.value)
    assert "Bingley" not in str(error.value)


def test_many_bad_lines_are_told_in_short() -> None:
    with pytest.raises(BadLexicon, match=r"line 10 .*; and 490 more$"):
        parse("x\n" * 500)


def test_too_many_lines() -> None:
    with pytest.raises(BadLexicon, match="more than 100,000 lines"):
        parse("#\n" * (MOST_LINES + 1))


def test_patterns_are_only_text() -> None:
    assert replaced("aaaa (a+)+$ b", "(a+)+$\tx\n.*b\ty") == "aaaa x b"
    assert replaced("C++ and C", "C++\tsee plus plus") == "see plus plus and C"


def test_a_list_of_any_size_costs_a_text_the_same() -> None:
    large = parse("".join(f"the a{n} b\tword{n}\n" for n in range(20_000)))
    small = parse("the a0 b\tword0\n")
    text = Traced("the a the the " * 5_000)

    def seconds(lexicon: Lexicon) -> float:
        started = time.process_time()  # noqa: TID251
        lexicon.applied(text)
        return time.process_time() - started  # noqa: TID251

    # In proportion to the list it would be twenty thousand times as long.
    assert any(seconds(large) < 20 * seconds(small) + 0.1 for _ in range(6))


def test_the_digest_tells_lists_apart() -> None:
    lists = ["", "a\tb", "a\tc", "a\tb\t\tcase", "a\tb\t\tpart", "a\tb\tx", "a\tb\nc\td"]
    assert len({parse(one).digest for one in lists}) == len(lists)
    assert parse("# nothing\n").digest == ""


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.text("abc .", min_size=1, max_size=5), st.text("xyz", min_size=1))),
    st.text("abcx ., ", max_size=60),
)
def test_what_is_not_in_the_list_stays(pairs: list[tuple[str, str]], text: str) -> None:
    # One line for what is the same once the text has been cleaned.
    cleaned = [(" ".join(clean(Traced(a)).text.split()).lower(), b) for a, b in pairs]
    lines = {a: b for a, b in cleaned if any(map(str.isalnum, a))}
    lexicon = parse("".join(f"{a}\t{b}\n" for a, b in lines.items()))
    found = list(lexicon.found(text))
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(found))
    done, expected = 0, ""
    for start, end, entry in found:
        assert " ".join(text[start:end].split()) == entry.written
        expected += text[done:start] + entry.spelling
        done = end
    assert lexicon.applied(Traced(text)).text == expected + text[done:]

"""Regular expressions of rules: what is documented, and nothing that could run for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrator_daemon.emulator.database.rules_regex import Regex, RegexError


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("abc", "xabcx"), ("^a", "ab"), ("a$", "ba"), ("^a|b$", "ac"), ("^a|b$", "cb"),
        ("^a*$", ""), ("^a+$", "aaa"), ("^a?$", "a"), ("......", "line\nb"), ("^(ab)*$", "abab"),
        ("a|bc", "xbc"), ("[akz]", "k"), ("^[0-9A-F]+$", "00FF"), ("^[^0-9]$", "x"),
        (r"^\b\t\u0041$", "btu0041"), (r"^\{foo}$", "{foo}"), (r"^\d\D\w\W\s\S$", "1a_- x"),
        ("^a{2,3}$", "aaa"), ("^a{2,}$", "aaaa"), ("^a{0}b$", "b"), ("+1", "+1"), ("(+a)", "+a"),
        ("^a+?b$", "aab"), ("[----z\\]]", "]"), ("[a-]", "-"), ("[-a]", "-"), (r"[\w.]", "."),
        (r"^(19|20)[0-9][0-9][-\/. ](0[1-9]|1[012])$", "1999-12"), ("a]", "a]"),
        ("^.$", "\U0001f600"),
    ],
)  # fmt: skip
def test_what_matches(pattern: str, text: str) -> None:
    assert Regex(pattern).found_in(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^a", "ba"), ("a$", "ab"), ("^a$", "a\n"), ("^a|b$", "cac"), ("^a+?$", ""), ("^.$", ""),
        ("^[^a-c]+$", "xaz"), (r"^\w$", "é"), (r"^\d$", "٣"), ("^a{2}$", "aaa"), ("A", "a"),
    ],
)  # fmt: skip
def test_what_does_not_match(pattern: str, text: str) -> None:
    assert not Regex(pattern).found_in(text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("yes", "YES", True), ("^É$", "é", True), ("^[a-c]$", "B", True), ("^[^a]$", "A", False),
        ("^k$", "\u212a", False), ("^[A-Z]$", "ß", False), (r"^\W$", "A", False),
    ],
)  # fmt: skip
def test_the_flag_for_either_case(pattern: str, text: str, found: bool) -> None:
    assert Regex(pattern, ignore_case=True).found_in(text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        "", "^", "$", "^$", "(^a)", "(a$)", "a^b", "a$b", "(foo|)", "|", "a||b", "()", "(?=a)",
        "(?!a)", "(?:a)", "(?<n>a)", r"(a)\1", r"\0", "[", "[]", "[^]", "[z-a]", "a{", "a{,3}",
        "a{3,2}", "a{02}", "a{1234567}", "a**", "a{2}{3}", "a+??", "(a", "a)", "a\\", "[a\\",
        "(a{1000}){1000}", "*a{2}{2}",
    ],
)  # fmt: skip
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError, match="Invalid regular expression"):
        Regex(pattern)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(a*)*b", "^(.*a){12}$"])
def test_no_pattern_runs_for_ever(pattern: str) -> None:
    # By backtracking the first alone would take longer than anybody has.
    assert not Regex(pattern).found_in("a" * 20_000 + "!")


ATOM = st.one_of(
    st.sampled_from(["a", "b", "c", ".", r"\d", r"\w", "[a-c]", "[^a]", r"\.", "[0-9b]"])
)
PATTERN = st.recursive(
    ATOM,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERN, st.booleans(), st.booleans(), st.text(alphabet="abc1.\n", max_size=8))
def test_it_finds_what_backtracking_finds(
    pattern: str, begins: bool, ends: bool, text: str
) -> None:
    anchored = f"{'^' if begins else ''}{pattern}{'$' if ends else ''}"
    python = f"{'^' if begins else ''}{pattern}{chr(92) + 'Z' if ends else ''}"
    expected = re.search(python, text, re.DOTALL | re.ASCII) is not None
    assert Regex(anchored).found_in(text) is expected

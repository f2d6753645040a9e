"""Random regular expressions in the local Firebase's matcher and in npm's targaryen.

    python -m tests.conformance.fuzz_regexes --count 6000

Each expression is judged by both on the same texts. A difference that `explained` names is known,
with the reason; any other is printed and makes the run fail.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter

from narrator_daemon.emulator.database.rules_regex import Regex, RegexError
from tests.conformance.second_engine import ask

_ATOMS = [
    *"abc019-_,}]:/ ", ".", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\.", r"\*", r"\(", r"\b",
    r"\t", r"\u0041", "[abc]", "[a-c]", "[^a]", "[-a]", "[a-]", r"[\d_]", "[0-9a-f]", r"[^\s]",
    "é", "[à-ü]",
]  # fmt: skip
_REPEATS = ["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "+?", "*?"]
# Signs that make an expression unusable, now and then.
_SPOILERS = ["^", "$", "(", ")", "|", "||", "{", "**", "(?=a)", "(?:a)", r"\1", "()", "[", "{3,1}"]
_SIGNS = "abcABC019-_,.*()btu}]:/ \néÉ"


def expression(dice: random.Random, depth: int = 3) -> str:
    """A random expression."""
    parts = []
    for _ in range(dice.randint(1, 3)):
        roll = dice.random()
        if roll < 0.25 and depth > 0:
            branches = [expression(dice, depth - 1) for _ in range(dice.randint(1, 3))]
            part = f"({'|'.join(branches)})"
        else:
            part = dice.choice(_ATOMS)
        if dice.random() < 0.3:
            part += dice.choice(_REPEATS)
        parts.append(part)
        if dice.random() < 0.02:
            parts.append(dice.choice(_SPOILERS))
    return "".join(parts)


def pattern(dice: random.Random) -> str:
    """A random pattern, anchored or not."""
    inner = expression(dice)
    if dice.random() < 0.2:
        inner += "|" + expression(dice)
    begin = "^" if dice.random() < 0.5 else ""
    return begin + inner + ("$" if dice.random() < 0.5 else "")


def explained(source: str, flags: str, text: str | None) -> str | None:
    """Why the two may differ, None where they should not.

    Args:
        source: the pattern.
        flags: ``i`` or nothing.
        text: what it was tried on; None where one of the two refuses the pattern.
    """
    if text is None:
        if "(?" in source:
            return "groups with (? are refused, not taken for a literal question mark"
        if re.search(r"\\[0-9]", source):
            return "references are refused, not taken for a literal digit"
        if "{3,1}" in source:
            return "bounds the wrong way round are refused; targaryen takes {3,1} for ?"
        bare = re.sub(r"\\.|\[\^?(?:\\.|[^]\\])*\]", "x", source)
        if "()" in bare or bare.count("(") != bare.count(")"):
            return "a parenthesis without its other half is refused, also where a group begins"
        return None
    if "\n" in text and "." in re.sub(r"\\.|\[[^]]*\]", "", source):
        return "the documentation has . match any character, JavaScript not a line break"
    if flags and not text.isascii():
        return "either case beyond ASCII: nothing decides"
    return None


def main() -> int:
    """Ask both and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    questions = [
        {
            "pattern": pattern(dice),
            "flags": dice.choice(["", "", "i"]),
            "texts": ["".join(dice.choices(_SIGNS, k=dice.randint(0, 6))) for _ in range(8)],
        }
        for _ in range(asked.count)
    ]
    known: Counter[str] = Counter()
    open_cases = compared = refused = 0
    for question, theirs in zip(questions, ask(questions), strict=True):
        source, flags, texts = question["pattern"], question["flags"], question["texts"]
        try:
            regex = Regex(str(source), ignore_case=flags == "i")
            ours: object = [regex.found_in(text) for text in texts]
        except RegexError:
            ours = "invalid"
            refused += 1
        compared += 1
        if ours == theirs:
            continue
        differing: list[str | None] = [None]
        if isinstance(ours, list) and isinstance(theirs, list):
            pairs = zip(texts, ours, theirs, strict=True)
            differing = [text for text, one, other in pairs if one != other]
        reasons = [explained(str(source), str(flags), text) for text in differing]
        if None in reasons:
            open_cases += 1
            print(f"/{source}/{flags}: ours {ours}, theirs {theirs}, texts {texts}")
        else:
            known.update(str(reason) for reason in reasons[:1])
    print(f"{compared} expressions, {refused} refused; {open_cases} unexplained differences")
    for reason, count in known.most_common():
        print(f"{count:6} {reason}")
    return 1 if open_cases else 0


if __name__ == "__main__":
    sys.exit(main())

"""Formulas: powers, exponents, and the signs between numbers and letters."""

from __future__ import annotations

import re

from csm.text.characters import SUPERSCRIPTS
from csm.text.rules import NUMBER, Rule, closing_dot
from csm.text.spoken_numbers import cardinal, decimal, ordinal
from csm.text.unit_rules import UNIT, unit_of

_FROM_SUPERSCRIPT = str.maketrans(SUPERSCRIPTS, "0123456789+-")
_RAISED = rf"(?:\^\{{?(?P<caret>[-−+]?[0-9]{{1,4}})\}}?|(?P<raised>[{SUPERSCRIPTS}]{{1,5}}))"
_UNIT_AFTER = rf"(?: ?{UNIT}(?!\w)\.?)?"
_OPERAND = r"(?:[A-Za-zπ]|[0-9]{1,12}(?:[.,/][0-9]{1,12})?[A-Za-z]?)(?:\^[0-9]|[²³])?"
_SIGN = r"(?: ?[+=×÷≤≥≠−*<>] ?| [-–/x] )"
_FORMULA = re.compile(rf"(?<![\w.,^/'’-]){_OPERAND}(?:{_SIGN}[-−]?{_OPERAND})+(?![\w'’]|[.,][0-9])")
#: A formula holds one of these; a hyphen alone is more often a range or a dash.
_CERTAIN = re.compile(r"[+=×÷≤≥≠−]|[0-9] [*<>] [0-9]")
_LETTERS_APART = re.compile(r"(?<![\w'’.-])([b-hj-zB-HJ-Z]) - ([b-hj-zB-HJ-Z])(?![\w'’.-])")
_OPERATOR = re.compile(r" ?([+=×÷≤≥≠−*<>]) ?| ([-–/x]) ")
_PLAIN_OPERATORS = {"-": "−", "–": "−", "*": "×", "x": "×", "/": "÷"}


def _power(written: str) -> str:
    """``-3`` to "to the minus three", 2 to "squared", 8 to "to the eighth"."""
    sign = "minus " if written[0] in "-−" else ""
    value = int(written.lstrip("-−+") or "0")
    if sign:
        return f"to the minus {cardinal(value)}"
    return {2: "squared", 3: "cubed"}.get(value) or f"to the {ordinal(value)}"


def _exponent(match: re.Match[str]) -> str:
    return match["caret"] or match["raised"].translate(_FROM_SUPERSCRIPT)


def _ten_to_the(match: re.Match[str]) -> str:
    """10⁶, 3×10^8 km, 1.5e-10: with its factor and its unit."""
    groups = match.groupdict()
    factor = f"{decimal(groups['factor'])} times " if groups.get("factor") else ""
    written = groups.get("exponent") or _exponent(match)
    minus = "minus " if groups.get("minus") else ""
    unit = f" {unit_of(match, one=False)}{closing_dot(match)}" if groups.get("unit") else ""
    return f"{minus}{factor}ten {_power(written)}{unit}"


def _raised(match: re.Match[str]) -> str:
    written = _exponent(match)
    return f" {_power(written)}" if re.search(r"[0-9]", written) else ""


def _raised_letter(match: re.Match[str]) -> str:
    return f" to the {match[1]}"


def _formula(match: re.Match[str]) -> str:
    """The same formula with signs that have one meaning."""
    written = match.group()
    if not _CERTAIN.search(written):
        return written
    return _OPERATOR.sub(
        lambda sign: f" {_PLAIN_OPERATORS.get(sign[1] or sign[2], sign[1] or sign[2])} ", written
    )


def _compared(match: re.Match[str]) -> str:
    return {"≤": "is at most", "≥": "is at least", "<": "is less than", ">": "is greater than"}[
        match[1]
    ]


FORMULA_RULES = (
    # x<5, 2*3; and a bracket around one number with its sign: 3 + (−5).
    Rule(
        re.compile(r"(?<![\w.,])([A-Za-z]|[0-9]{1,9})([<>])(?=[-−]?[0-9])"),
        lambda match: f"{match[1]} {match[2]} ",
        ("<", ">"),
    ),
    Rule(re.compile(r"(?<=[0-9])\*(?=[0-9])"), lambda match: "×", ("*",)),
    # The 4×100 m relay has four runners.
    Rule(
        re.compile(
            r"(?<![\w.,])([1-9][0-9]?)[×x]([1-9][0-9]{1,3})(?=[ -]?(?:m|metres?|meters?|yards?)\b)"
            r"(?![^=]{0,12}=)"
        ),
        lambda match: f"{match[1]} by {match[2]}",
        ("×", "x"),
    ),
    Rule(
        re.compile(r"\(([-−–][0-9]{1,9}(?:\.[0-9]{1,9})?)\)(?=[²³⁴-⁹^])"),
        lambda match: match[1],
        ("(",),
    ),
    Rule(
        re.compile(
            r"(?<=[+=×÷*/−–-])( ?)\(([-−–+] ?(?:[0-9]{1,9}(?:\.[0-9]{1,9})?|[a-z]))\)"
            r"(?![0-9])"
        ),
        lambda match: f"{match[1]}{match[2]}",
        ("(",),
    ),
    Rule(
        re.compile(
            rf"(?<![\w.,])(?P<minus>[-−])?(?:"
            rf"(?P<factor>{NUMBER}) ?[x×*⋅] ?)?10{_RAISED}{_UNIT_AFTER}"
            r"(?!\w)"
        ),
        _ten_to_the,
        ("10",),
    ),
    Rule(
        re.compile(
            rf"(?<![\w.,])(?P<minus>[-−])?(?P<factor>{NUMBER})[eE](?P<exponent>[-−+]?[0-9]{{1,3}})"
            rf"{_UNIT_AFTER}(?!\w)"
        ),
        _ten_to_the,
        ("e", "E"),
    ),
    Rule(_FORMULA, _formula),
    Rule(_LETTERS_APART, lambda match: f"{match[1]} − {match[2]}", (" - ",)),
    Rule(
        re.compile(r"(?<== )([a-zA-Z])([a-z])(?=[²³^])"),
        lambda match: f"{match[1]} {match[2]}",
        ("=",),
    ),
)
#: What is left once units have taken the powers that are theirs.
POWER_RULES = (
    Rule(re.compile(rf"(?<=[\w)\]]){_RAISED}"), _raised, ("^", *SUPERSCRIPTS)),
    Rule(re.compile(r"(?<=[\w)\]])\^\{?([a-zA-Z])\}?(?!\w)"), _raised_letter, ("^",)),
    Rule(re.compile(rf"[{SUPERSCRIPTS}]+"), lambda match: "", tuple(SUPERSCRIPTS)),
    Rule(re.compile(r"(?<=[\w)] )([≤≥])(?= ?[\w(])"), _compared, ("≤", "≥")),
)

"""Symbols in words, once all that knows more about them has been said."""

from __future__ import annotations

import re

from csm.text.characters import CURRENCY_SIGNS, SUPERSCRIPTS
from csm.text.rules import Rule, apply
from csm.text.traced import Traced

_LETTERS = r"[^\W\d_]"
_SYMBOLS = {
    "&": " and ",
    "@": " at ",
    "+": " plus ",
    "−": " minus ",
    "=": " equals ",
    "×": " times ",
    "÷": " divided by ",
    "±": " plus or minus ",
    "≠": " is not equal to ",
    "≤": " is at most ",
    "≥": " is at least ",
    "√": " square root of ",
    "∞": " infinity ",
    "%": " percent ",
    "‰": " per mille ",
    "°": " degrees ",
    "§": " section ",
    "¶": " paragraph ",
    "©": " copyright ",
    "²": " squared ",
    "³": " cubed ",
}
_SYMBOL = re.compile(
    rf"[&@+=−×÷±≠≤≥√∞%‰°§¶©<>#/\\_*~^|`•{re.escape(CURRENCY_SIGNS)}{SUPERSCRIPTS}]"
)
_GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "gamma",
    "Δ": "delta",
    "Θ": "theta",
    "Λ": "lambda",
    "Σ": "sigma",
    "Φ": "phi",
    "Ψ": "psi",
    "Ω": "omega",
}
_GREEK_LETTER = re.compile(
    rf"(?<![^\W\d_])[{''.join(_GREEK)}](?![^\W\d_])|(?<![^\W\d_])π(?=[a-z](?![a-z]))"
)

_AROUND_SYMBOLS = (
    Rule(re.compile(r"° ?C(?!\w)"), lambda match: " degrees Celsius ", ("°",)),
    Rule(re.compile(r"° ?F(?!\w)"), lambda match: " degrees Fahrenheit ", ("°",)),
    Rule(re.compile(r"(?<![\w#])([A-G])#(?!\w)"), lambda match: f"{match[1]} sharp", ("#",)),
    Rule(
        re.compile(r"(?<![^\W_])([A-Za-z])([<>])(?=[A-Za-z](?![\w>]))"),
        lambda match: f"{match[1]} is {'less' if match[2] == '<' else 'greater'} than ",
        ("<", ">"),
    ),
    Rule(re.compile(r"&{2,4}"), lambda match: " and ", ("&&",)),
    Rule(re.compile(r"§{2,4}"), lambda match: " sections ", ("§§",)),
    Rule(re.compile(r"¶{2,4}"), lambda match: " paragraphs ", ("¶¶",)),
    Rule(re.compile(r"(?<= )<(?= )"), lambda match: "is less than", ("<",)),
    Rule(re.compile(r"(?<= )>(?= )"), lambda match: "is greater than", (">",)),
    Rule(re.compile(rf"#(?={_LETTERS})"), lambda match: "hashtag ", ("#",)),
    Rule(re.compile(r"\b([Aa]nd)/([Oo]r)\b"), lambda match: f"{match[1]} {match[2]}", ("/",)),
    Rule(re.compile(r"\bw/o\b"), lambda match: "without", ("w/o",)),
    Rule(re.compile(r"\bw/(?= ?\w)"), lambda match: "with ", ("w/",)),
    Rule(re.compile(r"\bc/o\b"), lambda match: "care of", ("c/o",)),
    Rule(re.compile(r"\bn/a\b", re.IGNORECASE), lambda match: "not applicable", ("/",)),
    Rule(re.compile(r"(?<=[a-z])/(?=[a-z])"), lambda match: " or ", ("/",)),
)
_GREEK_RULE = (Rule(_GREEK_LETTER, lambda match: f" {_GREEK[match.group()]} "),)


#: Units without a number: "how many km?"
_BARE = {"km": "kilometres", "kg": "kilograms", "cm": "centimetres", "mm": "millimetres"}
_BARE |= {"mph": "miles per hour", "km/h": "kilometres per hour", "kWh": "kilowatt hours"}
_BARE_RULES = (
    Rule(
        re.compile(
            r"( many| some| per| the| few| in| of) (km/h|km|kg|cm|mm|mph|kWh)"
            r"(?=[\s.,;:?!)]|$)(?!\. ?[A-Za-z]\.)"
        ),
        lambda match: f"{match[1]} {_BARE[match[2]]}",
        tuple(f" {unit}" for unit in _BARE),
    ),
)


def speak_symbols(text: Traced) -> Traced:
    """Symbols that have a spoken form in words; the rest of them become spaces."""
    written = text.text
    if not written.isascii() and _GREEK_LETTER.search(written):
        text = apply(_GREEK_RULE, text)
    text = apply(_BARE_RULES, text)
    if not _SYMBOL.search(written):
        return text
    text = apply(_AROUND_SYMBOLS, text)
    return text.sub(_SYMBOL, lambda match: _SYMBOLS.get(match.group(), " "))

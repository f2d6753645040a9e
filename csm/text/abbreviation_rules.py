"""Titles, initials and abbreviations; their stops stay only where they close a sentence."""

from __future__ import annotations

import re
from string import ascii_uppercase

from csm.text.abbreviation_tables import (
    ABBREVIATIONS,
    LABELS,
    STATES,
    TITLES,
    TITLES_BEFORE_NAME,
)
from csm.text.rules import (
    Rule,
    apply,
    closing_dot,
    closing_dot_before_opener,
    opens_sentence,
)
from csm.text.spoken_numbers import month
from csm.text.traced import Traced
from csm.text.vocabulary import words

_BEFORE_WORDS = frozenset(("Mon", "Tue", "Wed", "Thu", "Fri", "Sq"))
#: After a number these are minutes and the like.
_UNITS_TOO = frozenset(["min", "sec", "secs", "l", "c", "pt", "pts"])
_AFTER_NUMBERS = tuple(f"{digit} " for digit in "0123456789")
_NEVER_LAST = frozenset(("viz", "cf", "vs", "approx", "attn", "incl", "excl", "esp"))
_OF_NAMES = words(
    """
    Inc Ltd Co Cos Corp Bros Jr Sr Esq Ave Blvd Rd Hwy Pkwy Sq Univ
    """
)
#: Without a stop too before a number or a Roman one.
_BARE_LABELS = "Nos?|[Vv]ols?|pp|[Ff]igs?|[Cc]hs?|[Cc]haps?"
_OF_MONTHS = {"inst": "instant", "ult": "ultimo", "prox": "proximo"}
_CAPITAL_NAME = r"[A-Z][\w'’-]{1,40}"
_COURT = re.compile(rf"(?<=\w) v\.? (?=(?:the |The )?{_CAPITAL_NAME})")
#: A number; of Roman ones a lone I only where it can't be the pronoun.
_NUMBER_NEXT = (
    r"(?=[0-9]|[ivxlc]{1,8}(?!\w)|[IVXLC]{2,8}(?!\w)|[VXL](?!\w)"
    r"|I(?=[,.:;)–-]| &| and [IVX]| of |$))"
)


_ENDS_HERE = re.compile(r"['\") ]*\Z")


def _abbreviation(match: re.Match[str]) -> str:
    written = match[1]
    key = written if written in ABBREVIATIONS else written.lower()
    if key in _UNITS_TOO and match.string.endswith(_AFTER_NUMBERS, 0, match.start()):
        return match.group()
    word = ABBREVIATIONS[key]
    if key in _NEVER_LAST:
        return word
    dot = closing_dot_before_opener(match) if written in _OF_NAMES else closing_dot(match)
    return word + dot


def _spelled(match: re.Match[str]) -> str:
    letters = match.group().replace(".", "").replace(" ", "")
    dot = closing_dot_before_opener(match)
    if not dot and _ENDS_HERE.match(match.string, match.end()):
        dot = "."
    return " ".join(letters) + dot


def _small_letters(match: re.Match[str]) -> str:
    return " ".join(match.group().replace(".", "").replace(" ", "").upper())


def _initial(match: re.Match[str]) -> str:
    return " ".join(match.group().replace(".", " ").split()) + " "


def _label(match: re.Match[str]) -> str:
    written = match[1]
    if written in _UNITS_TOO and match.string.endswith(_AFTER_NUMBERS, 0, match.start()):
        return match.group()
    word = LABELS.get(written) or LABELS.get(written.lower()) or LABELS[written.capitalize()]
    capital = written[0].isupper() and (written not in ("No", "Nos") or opens_sentence(match))
    small = written in ("No", "Nos", "Ex", "Eq", "Eqs", "Apt", "Ste", "Tel", "Ext", "Rm")
    return (word.capitalize() if capital and not small else word) + " "


def _table(words: dict[str, str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _stopped(*words: str) -> tuple[str, ...]:
    return tuple(f"{word}." for word in words)


def _cased(words: dict[str, str]) -> tuple[str, ...]:
    return (*words, *(word.capitalize() for word in words if word.islower()))


_CAPITAL_STOPS = _stopped(*ascii_uppercase)
_ANY_LABEL = "|".join(sorted(map(re.escape, _cased(LABELS)), key=len, reverse=True))
_ANY_ABBREVIATION = "|".join(
    sorted(
        (one for one in _cased(ABBREVIATIONS) if one not in _BEFORE_WORDS), key=len, reverse=True
    )
)
_TITLE_RULES = (
    Rule(re.compile(r"&c\."), lambda match: f"et cetera{closing_dot(match)}", ("&c.",)),
    Rule(re.compile(r"\b[Ee]\. ?g\.,?"), lambda match: "for example,", ("g.",)),
    Rule(re.compile(r"\b[Ii]\. ?e\.,?"), lambda match: "that is,", ("i.", "I.")),
    Rule(
        re.compile(r"\ba\. ?k\. ?a\.|\bb\. ?c\. ?c\."),
        _small_letters,
        ("a.", "c."),
    ),
    # "5 Elm Dr." but "Dr. Elm": a drive follows its name, and the name a number.
    Rule(
        re.compile(r"(?<=[0-9] )([A-Z][a-z]{1,20} )Dr\.?(?= [a-z]|[,;.!?]|$)"),
        lambda match: f"{match[1]}Drive{closing_dot(match)}",
        ("Dr",),
    ),
    Rule(
        re.compile(rf"\b({_table(TITLES)})\."),
        lambda match: TITLES[match[1]],
        _stopped(*TITLES),
    ),
    # "Baker St." but "St. Paul": a street follows its name.
    Rule(
        re.compile(r"(?<=[a-z] )St\.(?!\s+[A-Z])"),
        lambda match: f"Street{closing_dot(match)}",
        ("St.",),
    ),
    Rule(
        re.compile(rf"\b({_table(TITLES_BEFORE_NAME)})\.(?=\s+[A-Z]|\s+of [A-Z])"),
        lambda match: TITLES_BEFORE_NAME[match[1]],
        _stopped(*TITLES_BEFORE_NAME),
    ),
)
_OF_LIVES = {"b": "born", "d": "died", "r": "reigned", "fl": "flourished", "pub": "published"}
_STOPPED_LABELS = (
    # b. 1809, d. c. 1865
    Rule(
        re.compile(
            r"(?<![\w.'-])(b|d|r|fl|pub)\. ?(?=(?:ca?\. ?|circa )?[1-9][0-9]{2,3}"
            r"(?![0-9,]))"
        ),
        lambda match: f"{_OF_LIVES[match[1]]} ",
        ("b.", "d.", "r.", "fl.", "pub."),
    ),
    Rule(
        re.compile(r"\b([Tt])el\.?: ?(?=[+(0-9])"), lambda match: f"{match[1]}elephone: ", ("el",)
    ),
    # on the 5th inst.
    Rule(
        re.compile(r"(?<=[0-9](?:st|nd|rd|th) )(inst|ult|prox)\."),
        lambda match: f"{_OF_MONTHS[match[1]]}{closing_dot(match)}",
        ("inst.", "ult.", "prox."),
    ),
    Rule(
        re.compile(rf"\b({_ANY_LABEL})\. ?{_NUMBER_NEXT}"),
        _label,
        _stopped(*_cased(LABELS)),
    ),
)
_STOPPED_ABBREVIATIONS = (
    Rule(
        re.compile(r"\b(?:Jan|Feb|Apr|Aug|Sept?|Oct|Nov|Dec)\.(?! ?[0-9])"),
        lambda match: month(match.group()),
        _stopped("Jan", "Feb", "Apr", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
    ),
    Rule(
        re.compile(r"\b(Mon|Tue|Tues|Wed|Thur?s?|Fri)\.(?=,| [A-Z0-9])|\b(Mon|Tue|Wed|Thu|Fri)\.$"),
        lambda match: ABBREVIATIONS[match[1] or match[2]],
        _stopped("Mon", "Tue", "Tues", "Wed", "Thu", "Thur", "Thurs", "Fri"),
    ),
    Rule(
        re.compile(rf"\b({_ANY_ABBREVIATION})\.(?![a-z])"),
        _abbreviation,
        _stopped(*_cased(ABBREVIATIONS)),
    ),
)
_LETTER_RULES = (
    # St. Louis, Mo.
    Rule(
        re.compile(rf"(?<=[a-z], )({_table(STATES)})\."),
        lambda match: f"{STATES[match[1]]}{closing_dot_before_opener(match)}",
        _stopped(*STATES),
    ),
    # App. B, Fig. C
    Rule(
        re.compile(r"\b(App|Fig|Pl|Pt|Vol|Col|Sec|Ex)\. (?=[A-H](?![\w.'-]))"),
        lambda match: f"{LABELS[match[1].lower()].capitalize()} ",
        ("App.", "Fig.", "Pl.", "Pt.", "Vol.", "Col.", "Sec.", "Ex."),
    ),
    Rule(
        re.compile(r"(?<=[a-z], )(?:Bart|Bt)\."),
        lambda match: f"Baronet{closing_dot(match)}",
        ("Bart.", "Bt."),
    ),
    # M.P.s, Ph.D.s
    Rule(
        re.compile(r"\b(Ph\. ?D\.|(?:[A-Z]\.){2,4})'?s\b"),
        lambda match: f"{' '.join(match[1].replace('.', '').replace(' ', ''))}s",
        ("D.", "P.", ".s", ".'s"),
    ),
    Rule(
        re.compile(
            r"\b(?:Ph\. ?D\.|D\. ?Phil\.|LL\. ?[BDM]\.|[BDM]\. ?Sc\.|Ed\. ?D\.|(?:[A-Z]\.){2,6})"
            r"(?![a-z])"
        ),
        _spelled,
        ("Phil.", "Sc.", *_CAPITAL_STOPS),
    ),
    Rule(
        re.compile(r"(?<![0-9\w])(?<![0-9] )([ap])\. ?m\."),
        lambda match: f"{match[1].upper()} M{closing_dot(match)}",
        ("m.",),
    ),
    # J. R. R. Tolkien; John F. Kennedy. "Plan B. The" stays a sentence's end.
    Rule(
        re.compile(
            r"(?<![\w.'])(?:(?:[A-Z]\. ?){2,5}|(?:[A-Z][a-z]{1,20} |^)[A-HJ-Z]\. )(?=[A-Z][a-z])"
            r"(?!(?:He|She|It|They|We|You|The|But|And|In|On|At|When|Then|There|This)\b)"
        ),
        _initial,
        _CAPITAL_STOPS,
    ),
)
#: Every word that a rule above knows to stand before a stop; single letters and words with a stop
#: inside ("a.m.", "Ph.D.") beside them.
_KNOWN = frozenset(
    (
        *_cased(LABELS),
        *_cased(ABBREVIATIONS),
        *TITLES,
        *TITLES_BEFORE_NAME,
        *(
            *_OF_LIVES,
            *_OF_MONTHS,
            *STATES,
            "Bart",
            "Bt",
            "Sc",
            "LL",
            "&c",
            "Phil",
            "Jan",
            "Feb",
            "Apr",
            "Aug",
            "Sep",
            "Sept",
            "Oct",
            "Nov",
            "Dec",
        ),
    )
)
_LABEL_WORDS = frozenset((*_cased(LABELS), *_OF_LIVES, *_OF_MONTHS, "Tel", "tel"))
_ABBREVIATED = frozenset(
    (
        *_cased(ABBREVIATIONS),
        *("Jan", "Feb", "Apr", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
    )
)
_WORD_START = re.compile(r"\A.*[^\w'&.](?=[\w'&])|\A[^\w&]+")
#: Longer than any of them, with what may stand before it.
_LONGEST = 16


_RULES_WITHOUT_STOPS = (
    Rule(re.compile(r"\bMk\.? (?=[IVX0-9])"), lambda match: "Mark ", ("Mk",)),
    Rule(
        re.compile(rf"\b({_table(TITLES)}|St)(?= [A-Z][a-z])"),
        lambda match: TITLES.get(match[1], "Saint"),
        tuple(f"{title} " for title in (*TITLES, "St")),
    ),
    # "Mr and Mrs Hill" and the doctors Hill and Kim.
    Rule(
        re.compile(r"\b(Mr|Dr|Mrs|Ms)(?= and (?:Mr|Dr|Mrs|Ms|Doctor|Missus))"),
        lambda match: TITLES[match[1]],
        ("Mr and", "Dr and", "Mrs and", "Ms and"),
    ),
    Rule(re.compile(r"\bvs?\b(?!\.)(?<=[a-z ]vs)"), lambda match: "versus", (" vs",)),
    Rule(_COURT, lambda match: " versus ", (" v ", " v. ")),
)


#: Labels without a stop, for ``number_rules``.
LABEL_RULES = (
    Rule(re.compile(rf"\b({_BARE_LABELS}) ?(?=[0-9])"), _label),
    Rule(re.compile(r"(?<![\w.])[vV](?=[0-9]{1,3}\.[0-9])"), lambda match: "version ", ("v", "V")),
)


def _stopped_words(text: str) -> set[str]:
    """The words before full stops that could be abbreviations; in most paragraphs there is none."""
    found: set[str] = set()
    place = text.find(".")
    while place >= 0:
        start = max(text.rfind(" ", 0, place) + 1, place - _LONGEST)
        word = _WORD_START.sub("", text[start:place])
        if len(word) == 1 or word in _KNOWN or "." in word:
            found.add(word)
        place = text.find(".", place + 1)
    return found


def speak_abbreviations(text: Traced) -> Traced:
    """Titles, initials and abbreviations in words."""
    found = _stopped_words(text.text)
    if found:
        text = apply(_TITLE_RULES, text)
        if not found.isdisjoint(_LABEL_WORDS):
            text = apply(_STOPPED_LABELS, text)
        if not found.isdisjoint(_ABBREVIATED):
            text = apply(_STOPPED_ABBREVIATIONS, text)
        text = apply(_LETTER_RULES, text)
    return apply(_RULES_WITHOUT_STOPS, text)

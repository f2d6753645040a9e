"""Capitals that are words, which voices tend to spell, and capitals that are letters."""

from __future__ import annotations

import re

from csm.text.spoken_numbers import roman
from csm.text.traced import Traced
from csm.text.vocabulary import words

#: Said as a word or letter by letter, but never to be written small. Those that are also words
#: ("IT", "US", "WHO") are left to what surrounds them.
_ACRONYMS = words(
    """
    NASA NATO UNESCO UNICEF USSR OPEC AIDS RADAR FIFA UEFA NASDAQ FEMA OSHA SWAT ASCII JPEG
    POTUS SCOTUS IKEA NAFTA ASEAN INTERPOL YMCA YWCA ACLU AFL CIO NAACP UCLA NYPD LAPD HTML
    HTTP HTTPS URL PDF USB CPU GPU RAM ROM BIOS DNA RNA HIV MRI ECG EEG IVF BBC ITV CNN NBC
    CBS ABC PBS ESPN MTV HBO FBI CIA NSA KGB FSB IRS DEA ATF FDA CDC EPA USA UK UN EU UAE USS
    HMS RAF RN MP PM MEP CEO CFO CTO COO VIP UFO TV DVD CD VHS PC IBM AT&T GM BMW VW GE HP MIT
    NYU LSE UCL GDP GNP VAT IMF WTO OECD AFP BP KLM RSVP FAQ DIY ASAP FYI AKA PS OK ID IQ PhD
    BC AD BCE CE PM GMT UTC EST PST NHS PTSD ADHD LGBT NGO PLO IRA ISIS POW MIA AWOL SOS ATM
    PIN SIM GPS SUV LED LCD VCR MP3 API SQL XML JSON CSS PHP NFL NBA MLB NHL FIFA PGA WWF WWE
    UFC PLC LLC MBA BSC MSC DC NYC UNO SS SA LSD DDT TNT CCTV ISBN ISSN OCR PVC REM FM HD IPA
    ICU ER
    """
)
_SPOKEN_SMALL = frozenset(("PIN", "ZIP"))
#: Abbreviations that only look like letters.
_STOPPED = words("MR MRS MS DR ST REV PROF CAPT COL GEN SGT LT JR SR NO VOL CH")
_VOWEL = re.compile(r"[AEIOUY]")
_RUN = re.compile(
    r"(?<![\w'’-])(?:Ma?c(?=[A-Z]{3}))?[A-Z]+(?:'[A-Z]{1,20})?(?![\w])(?:[,.;:!?]{0,2}[\"']?[ -]"
    r"(?:\"|')?(?:(?:Ma?c(?=[A-Z]{3}))?[A-Z]+"
    r"(?:'[A-Z]{1,20})?"
    r"|[&—–])(?![\w]))*"
)
_WORD = re.compile(r"(?:Ma?c(?=[A-Z]{3}))?[A-Z]+(?:'[A-Z]{1,20})?")
_SCOTTISH = re.compile(r"(Ma?c)([A-Z]{2,})('[A-Z]+)?")
_CAPITALS = re.compile(r"[A-Z]{2}")
_ORDINAL = re.compile(r"(?<=[0-9])(?:ST|ND|RD|TH)\b")
_NAME_OR_NUMBER = re.compile(r"\. ?(?:[0-9]|[A-Z][a-z])")
_LOWER_AFTER = re.compile(r"[,;:]? [\"']?[a-z]")
_OPENING = re.compile(r"(?:[.!?][\"']? |^)[\"']?\Z")
#: In capitals for stress, a first name is only a name.
_NAMES = words(
    """
    JOHN MARY ANNA ANNE JANE LUCY ROSE EMMA KATE ALEX ADAM PAUL MARK LUKE JACK JOSH NICK TONY
    FRED CARL ERIC EVAN GREG IVAN JOEL KARL KYLE LEON NEIL NOAH OWEN PETE PHIL RORY RYAN SEAN
    TODD TROY VERA NORA NINA LISA LILY LEAH JUNE JOAN JILL JUDY IRIS GINA EDNA ELLA DORA DAWN
    CLEO BETH AMY ANN BOB BEN DAN EVE IAN JIM JOE KIM LEE LIZ MAX MEG PAM PAT RAY RON ROY SAM
    SUE TED TIM TOM VIC ZOE
    """
)


def quieted(text: Traced) -> Traced:
    """Words in capitals as words; letters stay letters.

    Headings and shouts get a capital each ("Chapter One"); the words that open a chapter in
    capitals go on as a sentence ("It was a dark night"). A single short word keeps its capitals,
    which only stress it.
    """
    if not _CAPITALS.search(text.text):
        return text
    text = text.sub(_ORDINAL, lambda match: match.group().lower())
    return text.sub(_RUN, _quieted)


def _quieted(match: re.Match[str]) -> str:
    run = match.group()
    words = _WORD.findall(run)
    if len(words) == 1:
        return _alone(match)
    if not any(_is_word(word) for word in words if len(word) > 1):
        return run
    letters = sum(len(word) for word in words)
    if letters < 4 and not _opens(match):
        return run
    if _opens(match) and _LOWER_AFTER.match(match.string, match.end()):
        return _as_sentence(run)
    if len(words) == 2 and "I" in words and letters < 6 and not _opens(match):
        return run
    return _WORD.sub(lambda one: _in_title(one.group()), run)


def _alone(match: re.Match[str]) -> str:
    word = match.group()
    if word in _SPOKEN_SMALL:
        return word.lower()
    if word in _NAMES or (len(word) > 4 and _is_word(word)):
        return word.capitalize()
    if (
        len(word) == 4
        and _is_word(word)
        and _opens(match)
        and _LOWER_AFTER.match(match.string, match.end())
    ):
        return word.capitalize()
    if word in _STOPPED and _NAME_OR_NUMBER.match(match.string, match.end()):
        return word.capitalize()
    return word


def _opens(match: re.Match[str]) -> bool:
    return _OPENING.search(match.string, max(0, match.start() - 4), match.start()) is not None and (
        match.start() < 2 or match.string[match.start() - 1] in " \"'"
    )


def _is_word(written: str) -> bool:
    """Whether capitals are a word's: it has a vowel and is no acronym that everybody knows."""
    plain = written.split("'")[0]
    if plain in _STOPPED:
        return True
    number = len(plain) > 1 and plain != "MIX" and roman(plain) is not None
    return plain not in _ACRONYMS and not number and _VOWEL.search(plain) is not None


def _in_title(word: str) -> str:
    scottish = _SCOTTISH.fullmatch(word)
    if scottish:
        return f"{scottish[1]}{scottish[2].capitalize()}{(scottish[3] or '').lower()}"
    first, _, rest = word.partition("'")
    if len(first) == 1 and len(rest) > 2:
        # O'BRIEN
        return f"{first}'{rest.capitalize()}"
    if _is_word(word):
        return word.capitalize()
    return f"{word[:-2]}'s" if word.endswith("'S") else word


def _as_sentence(run: str) -> str:
    first, after_title = True, False

    def one(match: re.Match[str]) -> str:
        nonlocal first, after_title
        word = match.group()
        opening, first = first, False
        titled, after_title = after_title, word in _STOPPED
        if word == "I" or word.startswith("I'"):
            return word[0] + word[1:].lower()
        if not _is_word(word):
            return word
        return word.capitalize() if opening or titled or word in _NAMES | _STOPPED else word.lower()

    return _WORD.sub(one, run)

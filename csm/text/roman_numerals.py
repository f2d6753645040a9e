"""Roman numerals where they are numbers: chapters, kings, wars, bowls, pages, headings.

The pronoun I and words made of the same letters (MIX, CD, XL) are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from csm.text.rules import Rule, apply
from csm.text.spoken_numbers import cardinal, ordinal, roman, year
from csm.text.traced import Traced
from csm.text.vocabulary import words

_KINGS = words(
    """
    Louis Henry George Charles Edward Richard William James Paul Elizabeth Philip Francis
    Frederick Napoleon Nicholas Alexander Catherine Peter Ivan Pius Leo Benedict Gregory
    Innocent Urban Clement Ferdinand Christian Gustav Olaf Wilhelm Franz Leopold Ramses
    Ptolemy Edgar Alfonso Umberto Victor Haakon Margrethe Mary Robert David Julius Sixtus
    Boniface Constantine Otto Theodosius Justinian Selim Murad Mehmed Mahmud Rudolf Conrad
    Edmund Harold Stephen Malcolm Baldwin Bohemond Darius Xerxes Artaxerxes Cyrus Thutmose
    Amenhotep Seti Rameses Akbar Shapur Emanuel Emmanuel Manuel Maximilian Joseph Albert
    Alphonse Carlos Felipe Isabella Joan Joanna Sigismund Casimir Vladislav Wenceslas Bela
    Matthias Stefan Michael Basil Leo Romanos Alexios Nero Theodore Callixtus Calixtus
    Celestine Adrian Hadrian Martin Eugene Honorius Lucius Sylvester Silvester Paschal
    Anastasius Marcellus Wilhelmina Beatrix Juliana Anne Amadeus Oscar Haile Menelik Abdul
    Suleiman Osman Bayezid Mustafa Mohammed Muhammad Hussein Abdullah Hassan Fuad Faisal
    Farouk Tutankhamun
    """
)
#: Their name is more often somebody's who says I, or of another number ("Malcolm X").
_NOT_KINGS = frozenset((("Malcolm", "X"),))
_ROYAL = words(
    """
    king queen emperor empress pope tsar czar kaiser sultan prince princess pharaoh shah
    caliph duke count earl archduke khan lord saint patriarch
    """
)
_FIRST_NAMES = words(
    """
    John James Robert William Richard Thomas Charles Christopher Daniel Matthew Anthony Donald
    Mark Paul Steven Andrew Kenneth Joshua Kevin Brian George Edward Ronald Timothy Jason
    Jeffrey Ryan Jacob Gary Nicholas Eric Jonathan Stephen Larry Justin Scott Brandon Benjamin
    Samuel Gregory Frank Alexander Raymond Patrick Jack Dennis Jerry Tyler Aaron Jose Adam
    Henry Nathan Douglas Zachary Peter Kyle Walter Ethan Jeremy Harold Keith Christian Roger
    Noah Gerald Carl Terry Sean Austin Arthur Lawrence Jesse Dylan Bryan Joe Jordan Billy
    Bruce Albert Willie Gabriel Logan Alan Juan Wayne Roy Ralph Randy Eugene Vincent Russell
    Elijah Louis Bobby Philip Johnny Cornelius Thurston Theodore Winthrop Nelson Prescott
    Loudon Davis Hank Fred Frederick Franklin
    """
)
#: What is counted in Roman numerals, in the singular.
_PARTS = words(
    """
    chapter book part volume vol canto act scene section psalm appendix letter stave phase
    figure table article amendment fit episode season war page plate bowl type stage class
    grade title mark level division schedule factor olympiad lesson number no note line
    paragraph verse tome exercise corps movement symphony sonata category group tier saturn
    apollo gemini wrestlemania vatican lyceum
    """
)
#: After these with a capital, a lone I is a number whatever follows ("Chapter I tells of …").
_PARTS_BEFORE_I = words(
    """
    chapter volume canto stave type phase stage class grade title division schedule
    """
)
_SMALL_PARTS = words(
    """
    chapter volume vol canto act scene page psalm section part book note line verse paragraph
    article number figure table plate appendix lesson chapters pages volumes acts scenes
    sections parts books notes lines verses paragraphs articles figures
    """
)
_LABEL = r"[A-Za-z]{2,12}\.?"
_CAPITAL_NUMERAL = r"[IVXLC]{1,9}"
_JOINT = r"(?:, and |, & |, | and | & | or | to | through |[-–—]| [-–—] )"
_SERIES = re.compile(
    rf"\b({_LABEL}) ({_CAPITAL_NUMERAL}(?:{_JOINT}{_CAPITAL_NUMERAL}){{1,12}}"
    rf"|[ivxlc]{{1,9}}(?:{_JOINT}[ivxlc]{{1,9}}){{1,12}})(?![\w'])"
)
_COUNTED = re.compile(r"(?<![\w'.-])I, II(?:(?:, |,? and )[IVX]{1,5}){0,12}(?![\w'-])")
_ONE = re.compile(r"[IVXLCivxlc]+")
_DASH = re.compile(r" ?[-–—] ?")
_WAR = re.compile(r"\bWW ?(I{1,2}|1|2)(?!\w)")
_CENTURY = re.compile(
    r"(?<![\w'.-])([IVX]{1,6})(?:st|nd|rd|th)?"
    r"(?=(?:(?:,? (?:and|to|or)| ?[-–—]|,)(?: the)? ?[IVX]{1,6}(?:st|nd|rd|th)?){0,3} centur)"
)
#: A king of two realms: "James VI and I".
_OF_TWO_REALMS = re.compile(
    r"\b([A-Z][a-z]{2,12}) ([IVX]{1,5}) (?:and|&) ([IVX]{1,5})(?=[,.;:)]|$| of )"
)
#: What is told apart by an ordinal: "the XIV Amendment", "the II Corps".
_ORDERED = re.compile(
    r"(?<=[Tt]he )([IVXLC]{1,7})(?= (?:Amendment|Corps|Army|Legion|Dynasty|dynasty|Congress|Olympi"
    r"|Fleet|Panzer|Infantry|Airborne|Ecumenical|Edition|edition|Anniversary|Arrondissement"
    r"|arrondissement|Winter|Summer|Party)\w*)"
)
_NUMERAL = re.compile(
    r"(?<![\w'.-])(?:([IVX]{1,7})(?:st|nd|rd|th)|[IVXLCDM]{1,15}|[ivxlc]{1,7})"
    r"(?!\w|-(?!(?:style|era|type|like|class|led)\b)|'(?!s\b))"
)
#: Cheap looks for what is rare in prose: two numerals with a joint between them.
_MAYBE_SERIES = re.compile(
    r"[IVXLC](?:, |[-–—]| (?:and|&|or|to|through|[-–—]) )(?:and |& )?[IVXLC]+(?![a-z])"
)
_MAYBE_SMALL = re.compile(r" [ivxlc]++(?:, |[-–—]| )")
#: Medicine's own IV, in the veins.
_DRIP = re.compile(r" (?:drips?|lines?|bags?|fluids?|poles?|needles?|therapy|access|antibiotics)\b")
_INITIAL_FOLLOWS = re.compile(r"\. ['\"]?(?![A-Z]\.)")
#: After "Charles I", what a king does and the pronoun's sentence does not begin with.
_KING_GOES_ON = re.compile(
    r"(?:'s\b|[.,;:)!?\"]|$| (?:of|was|is|had|and|reigned|ruled|died|became|came|in|to|as|for)\b)"
)


def speak_roman_numerals(text: Traced) -> Traced:
    """Put the Roman numerals of one paragraph in words."""
    written = text.text
    if _MAYBE_SERIES.search(written) or _MAYBE_SMALL.search(written):
        text = apply(_RULES_FOR_SERIES, text)
    return apply(_RULES, text)


def _series(match: re.Match[str]) -> str:
    label, numerals = match.groups()
    singular = label.lower().rstrip(".").removesuffix("s")
    if singular.removesuffix("e") == "appendic":
        singular = "appendix"
    values = [roman(one.upper()) for one in _ONE.findall(_JOINTS.sub(" ", numerals))]
    small = numerals[0].islower()
    plain = label.lower().rstrip(".")
    if None in values or (singular not in _PARTS and plain not in _SMALL_PARTS):
        return match.group()
    if small and plain not in _SMALL_PARTS:
        return match.group()
    words: Callable[[str], str] = cardinal_of if small else _title_of
    spoken = _ROMAN_WORD.sub(lambda one: words(one.group()), _DASH.sub(" to ", numerals))
    return f"{label} {spoken.replace('&', 'and')}"


_JOINTS = re.compile(r"and|or|to|through|[&,–—-]")
_ROMAN_WORD = re.compile(r"(?<!\w)(?:[IVXLC]+|[ivxlc]+)(?!\w)")


def cardinal_of(written: str) -> str:
    """The number in words; ``written`` if it is none."""
    value = roman(written.upper())
    return written if value is None else cardinal(value)


def _title_of(written: str) -> str:
    return cardinal_of(written).capitalize()


def _counted(match: re.Match[str]) -> str:
    return _ROMAN_WORD.sub(lambda one: _title_of(one.group()), match.group())


def _war(match: re.Match[str]) -> str:
    return f"World War {'One' if match[1] in ('I', '1') else 'Two'}"


def _century(match: re.Match[str]) -> str:
    return _of(ordinal, match[1]) or match.group()


def _of_two_realms(match: re.Match[str]) -> str:
    one, two = _ordinal(match[2]), _of(ordinal, match[3])
    if match[1] not in _KINGS or one is None or two is None:
        return match.group()
    return f"{match[1]} {one} and {two.capitalize()}"


def _ordered(match: re.Match[str]) -> str:
    return (_of(ordinal, match[1]) or match.group()).capitalize()


def _numeral(match: re.Match[str]) -> str:
    written = match.group()
    if written == "Ist":
        # German.
        return written
    if match[1]:
        return _of(ordinal, match[1]) or written
    if written.islower():
        return _small_numeral(match)
    number = _number(match, *_words_before(match))
    return written if number is None else number


def _number(match: re.Match[str], previous: str, before_that: str) -> str | None:
    """What capitals are after these two words, None where they are no number."""
    written = match.group()
    part, capital = previous.lower().rstrip("."), previous[:1].isupper()
    after = match.string[match.end() : match.end() + 12]
    small = set(written) <= set("IVX")
    if written == "IV" and _DRIP.match(match.string, match.end()):
        return None
    if part in _PARTS and (len(written) > 1 or written in "VX"):
        return _cardinal(written)
    if written == "I" and part in _PARTS and capital:
        goes_on = after[:1] == " " and after[1:2].islower()
        if re.match(
            rf" (?:and|or|to) {previous} [IVX]", match.string[match.end() : match.end() + 24]
        ):
            return "One"
        known = part in _PARTS_BEFORE_I or before_that.lower() == "world" or previous.isupper()
        return "One" if known or not goes_on else None
    if capital and _is_king(match, previous, before_that):
        return _ordinal(written)
    if previous == "of" and written != "I" and roman(before_that):
        # Volume III of V.
        return _cardinal(written)
    if len(written) > 3 and written[:2] in ("MC", "MD", "MM"):
        return _of(year, written)
    if _is_heading(match):
        return _cardinal(written)
    if small and len(written) > 1 and written not in ("XX", "XXX"):
        return _cardinal(written)
    return None


def _is_king(match: re.Match[str], previous: str, before_that: str) -> bool:
    """Whether a ruler's number follows their name; or a son's, named like his father."""
    written = match.group()
    ruler = before_that.lower() in _ROYAL
    known = previous.capitalize() in _KINGS and (previous, written) not in _NOT_KINGS
    if written == "I":
        return (known or ruler) and (
            ruler or _KING_GOES_ON.match(match.string, match.end()) is not None
        )
    if not set(written) <= set("IVX"):
        return ruler
    son = written in ("II", "III", "IV") and before_that in _FIRST_NAMES and previous[1:].islower()
    realm = re.match(r" of [A-Z]", match.string[match.end() : match.end() + 5]) is not None
    return ruler or known or son or (realm and len(written) > 1)


def _small_numeral(match: re.Match[str]) -> str:
    written = match.group()
    if _words_before(match)[0].lower().rstrip(".") in _SMALL_PARTS:
        return cardinal_of(written)
    text = match.string
    enclosed = text[max(0, match.start() - 1) : match.start()] == "(" and (
        text[match.end() : match.end() + 1] == ")"
    )
    return cardinal_of(written) if enclosed and (len(written) > 1 or "(ii)" in text) else written


def _words_before(match: re.Match[str]) -> tuple[str, str]:
    """The word before the match and the one before that, "" where there is none."""
    before = match.string[max(0, match.start() - 32) : match.start()]
    words = before.split(" ")
    if len(words) < 2 or words[-1]:
        return "", ""
    return words[-2].lstrip("\"'("), words[-3].lstrip("\"'(") if len(words) > 2 else ""


def _is_heading(match: re.Match[str]) -> bool:
    """Whether the numeral is its paragraph, or opens it as in "IV. The Adventure"."""
    text = match.string
    if match.start() > 4 or text[: match.start()].strip(" \"'("):
        return False
    rest = text[match.end() : match.end() + 8]
    return not rest.strip(" .:)\"'") or (
        match.group() not in "CDLM" and _INITIAL_FOLLOWS.match(rest) is not None
    )


def _of(words: Callable[[int], str], written: str) -> str | None:
    value = roman(written)
    return None if value is None else words(value)


def _cardinal(written: str) -> str | None:
    words = _of(cardinal, written)
    return words and words.capitalize()


def _ordinal(written: str) -> str | None:
    words = _of(ordinal, written)
    return words and f"the {words.capitalize()}"


_RULES_FOR_SERIES = (Rule(_SERIES, _series), Rule(_COUNTED, _counted, ("I, II",)))
_RULES = (
    Rule(_WAR, _war, ("WW",)),
    Rule(_CENTURY, _century, (" centur",)),
    Rule(_OF_TWO_REALMS, _of_two_realms, (" and I", " and V", " and X", "& ")),
    Rule(_ORDERED, _ordered, ("he I", "he V", "he X", "he L", "he C")),
    Rule(_NUMERAL, _numeral),
)

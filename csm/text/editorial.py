"""What editors, printers and friends put between the words: footnote marks, brackets, smileys.

All of it is removed or joined to its word before the words are read.
"""

from __future__ import annotations

import re
from itertools import pairwise

from csm.text.characters import SUPERSCRIPTS
from csm.text.traced import Traced
from csm.text.vocabulary import words

# Footnote marks. A number in square brackets, a letter that touches what it explains.
_BRACKETED_NOTE = re.compile(
    r" ?\[(?:\^[\w-]{1,30}|[0-9]{1,3}(?: ?[,;–-] ?[0-9]{1,3}){0,9}|[*†‡]|citation needed"
    r"|(?:note|nb|fn|n|footnote|lower-alpha) ?[0-9]{1,3})\]"
    r"|(?<=[.,;:!?\"')])\[(?:[a-z]|[ivx]{2,5})\](?![^\W\d_])|(?<=\w)\[[ivx]{2,5}\](?!\w)|(?<=\w)\*{1,3}(?!\w)"
)
#: "key.1 The", "step,2 as", '"so,"4 he': after a word's mark without a space.
_GLUED_NOTE = re.compile(
    r"(?<=[^\W\d_][^\W\d_])([.,;!?]['\")]{0,2}|['\")]{1,2}[.,;!?]?)"
    r"[0-9]{1,3}(?:[,–-][0-9]{1,3}){0,5}(?=$|[ '\")\]])"
    r"(?=$|['\")\]]|(?: ['\"(]?[A-Z])|(?<![.!?][0-9])(?<![.!?][0-9]{2})(?<![.!?][0-9]{3}) )"
)
#: After a bracket, but not after the "(0)" or "(212)" of a telephone.
_CLOSED_NOTE = re.compile(r"(?<=[^0-9]\))[0-9]{1,3}(?=$|[ .,;:!?'\"])")
#: "in 1832.14 His son": a year that ends its sentence.
_NOTE_AFTER_YEAR = re.compile(
    r"(?<![\w.,$£€¥-])((?:1[0-9]{3}|20[0-2][0-9])\.['\")]?)[0-9]{1,3}"
    r"(?= ['\"(]?(?:[A-Z][a-z]|[AI] )(?!z\b|a\b|g\b|m\b|elsius|elvin|ahrenheit|uro))"
)
#: "the war of 1812,15 which"
_NOTE_IN_SENTENCE = re.compile(
    r"((?:1[0-9]{3}|20[0-2][0-9]),)(?<=[ionfby]{2} [0-9]{4},)[0-9]{1,2}(?= [a-z])"
)
_ABBREVIATED = re.compile(
    r"\b(?:[Ff]igs?|[Nn]os?|[Vv]ols?|pp?|[Cc]h|[Cc]hap|[Ss]ec|[Aa]rt|[Ee]q|[Ee]x|[Ee]d|[Pp]t|[Oo]p"
    r"|[Vv]er|[Bb]k|cf|ca|vv?|ll?|nn?|par|para|app)\.\Z"
)
#: "argued12 and then shown13": numbers that touch a word and count up, or a word whose ending no
#: name of a thing with a number has.
_WORD_NOTE = re.compile(r"(?<=[a-z]{3})([0-9]{1,3})(?=$|[ .,;:!?'\")])")
_NO_NAME = re.compile(r"(?:ed|ing|ness|ity|ly|ous|ism|ments?|ances?|ences?|tions|ings)\Z")
_DIGIT = re.compile(r"[0-9]")
_RAISED = re.compile(rf"[{SUPERSCRIPTS}]+")
#: Written with a power though they are letters: variables and units.
_POWER_BASE = re.compile(
    r"(?:(?:(?<![^\W\d_])|(?<=[πθω]))[A-Za-z]|(?<![^\W_])(?:[kcmdn]m|km|ft|in|yd|mi|sec)|[0-9)\]])\Z"
)
#: "(as he said)¹²" is no formula.
_PHRASE_CLOSED = re.compile(r"[a-z]{3}[.!?]?\)\Z")
_YEAR = re.compile(r"(?<![0-9.,])(?:1[1-9]|20)[0-9]{2}\Z")

# Square brackets in which an editor completes another's words.
_EDITED_START = re.compile(r"\[([^\W\d_]{1,12})\](?=[^\W\d_])")
_EDITED_END = re.compile(r"(?<=[^\W\d_])\[('?[^\W\d_]{1,12})\]")
_EDITED_MARK = re.compile(r"\[([.,;:!?])\]")
_LEFT_OUT = re.compile(r"[\[(] ?\.(?: ?\.)+ ?[\])]")
_EDITED_WORDS = re.compile(r"\[([^\W\d_][^\[\]().!?;:—–]{0,60})\]")
_ENDING = re.compile(r"(?<=[^\W\d_])\((e?s|e?d|ies|r|n|en|ren|ing|ly|al|y)\)(?!\w)")
_BEGINNING = re.compile(r"(?<!\w)\(([^\W\d_]{1,5})\)(?=[a-z]{2})")

_SPACED_DOTS = re.compile(r" ?\.(?: ?\.)*(?: \.)+(?: ?\.)*")

_SMILEY = re.compile(
    r"(?:(?:(?<=\s)|^|(?<=[.!?,)]))(?:[:;=]['^o-]?[()\[\]DPpOo3|/\\*]+|[xX]-?D+|8-D|<\\?/?3+"
    r"|>[:;]-?[()D]|[(\[][-^]?[:;=]|\^[_.-]?\^|[oO0][_.][oO0]|[-=]_+[-=]|T_T|>[._]<|\\o/"
    r"|:(?:smile|smiley|grin|joy|heart|hearts|wink|laughing|cry|sob|tada|rocket|fire|thumbsup|clap"
    r"|wave|pray|ok_hand|thinking|slightly_smiling_face|heart_eyes|sunglasses|100|\+1|-1):)"
    r"(?=[\s.,!?;)]|$)\s*)+"
)
#: Two signs of each, without what stands around it.
_SMILEY_SIGN = re.compile(
    r"[:;=](?:['^o-]?[()\[\]DPpOo3|/\\*]|[a-z1+-])|[xX8]-?D|[<>][\\/:;._3]|[(\[^-][-^]?[:;=_.^]|_[-_=.]"
    r"|[oO0][_.][oO0]|T_T|\\o/"
)
#: What no smiley is without, but for those of letters.
_SIGN_OF_SMILEYS = re.compile(r"[:;=<>^_\\]")
_SMILEYS_OF_LETTERS = ("xD", "XD", "-D", "o.o", "o.O", "O.o", "O.O", "0.0")
_SHRUG = re.compile(r"\\?_*\(ツ\)_*/?")
_SENTENCE_NEXT = re.compile(r"[A-Z]")
_NOT_SMILEYS = re.compile(r"\((?:[0-9a-zA-Z]|[ivx]{1,4})\)|[0-9]\)")

# A letter that stood large at the head of a chapter, with a gap after it.
_DROP_CAP = re.compile(
    r"(?:(?<=[.!?] )|(?<=[.!?]['\"] )|^|(?<=^['\"])|(?<=[ ]['\"]))([A-Z]) ([a-z]{1,20}|[A-Z]{1,20})"
    r"(?![\w])"
)
#: Not "long", "part", "cross" and other words of their own: "A long line", "A part of it".
_AFTER_A = words(
    """
    t nd ll s n ny fter gain lthough lways mong bove lice lmost lready lso nother nyone nything
    mericans
    """
)
_AFTER_I = words(
    """
    t n f s ts nto ndeed nside nstead t's f's magine nterest tself
    """
)
_AFTER_O = words(
    """
    n f r h nce ne ver ur nly ld ther thers ut ff ften utside bviously n'ce pen
    """
)
_ONE_LETTER_ENDS = frozenset("oey")
_AFTER_NAMES_OF_LETTERS = words(
    """
    is was and or has had will in to of for then does can would are were as at on cells cell
    ray rays shirt shirts turn turns flat sharp major minor string strings vitamin bomb level
    levels chromosome type types class grade words word side team zero one two three four five
    six seven eight nine ten eleven twelve point oh hundred first second third fourth fifth
    sixth seventh eighth ninth tenth twenty thirty forty fifty sixty seventy eighty ninety
    thirteen fourteen fifteen sixteen seventeen eighteen nineteen thousand million plus minus
    equals times divided percent per degrees degree section paragraph copyright squared cubed
    infinity slash dot dash underscore hash hashtag tilde colon question number about square
    greater less versus wave waves points value values rated shaped plan day band movie movies
    gang
    """
)
#: What a word can go on with after its first letter: "T he", but not "C shell" or "X windows".
_SECOND_LETTERS = {
    "B": "aeioulry",
    "C": "aeioulryhz",
    "D": "aeiourwyh",
    "F": "aeioulry",
    "G": "aeioulrhny",
    "H": "aeiouy",
    "J": "aeiou",
    "K": "aeioulrnhy",
    "L": "aeiouyl",
    "M": "aeiouyr",
    "N": "aeiouy",
    "P": "aeioulrhsny",
    "Q": "u",
    "R": "aeiouhy",
    "S": "aeioucehklmnpqtuwy",
    "T": "aeiouhrwy",
    "U": "gklmnprst",
    "V": "aeiouy",
    "W": "aeiouhry",
    "X": "ae",
    "Y": "aeiou",
    "Z": "aeiou",
    "E": "abcdfghlmnpqrstvwxy",
}
_SURELY_WORDS = words("His Has Was Will Were For Nor Then Than Does")
#: What both have; the three that are words themselves only before what is none.
_LONE_CAPITAL = re.compile(
    rf"[A-Z] (?:(?<=[B-HJ-NP-Z] )[A-Za-z]|"
    rf"(?:{'|'.join(sorted(_AFTER_A | _AFTER_I | _AFTER_O))})(?!\w)"
    r"|[A-Z] |[A-Z]{1,9}(?!\w))"
)
_SMALL_NEXT = re.compile(r",? [a-z]")
#: Words of two capitals, before what is small: "W E were seven".
_TWO_LETTERS = words("WE HE ME BE BY DO GO NO SO TO UP MY OH")
_SPACED_WORD = re.compile(r"(?<!\w)(?:[A-Z] ){3,20}[A-Z](?!\w)")
_SPACED_WORDS = words(
    """
    CHAPTER PART BOOK PROLOGUE EPILOGUE PREFACE FOREWORD CONTENTS INTRODUCTION VOLUME SECTION
    SCENE CANTO APPENDIX CONCLUSION AFTERWORD
    """
)


def without_smileys(text: Traced) -> Traced:
    """A smiley that ends what is said leaves a full stop, one inside it a comma's pause."""
    written = text.text
    if "ツ" in written:
        text = text.sub(_SHRUG, " ")
    if not _SIGN_OF_SMILEYS.search(written) and not any(
        smiley in written for smiley in _SMILEYS_OF_LETTERS
    ):
        return text
    return text.sub(_SMILEY, _smiley) if _SMILEY_SIGN.search(written) else text


def _smiley(match: re.Match[str]) -> str:
    if _NOT_SMILEYS.match(match.group()):
        return match.group()
    before = match.string[max(0, match.start() - 8) : match.start()].rstrip()[-1:]
    rest = match.string[match.end() : match.end() + 1]
    if not before.isalnum() or not rest:
        return " "
    return ". " if _SENTENCE_NEXT.match(rest) else ", " if rest[0].isalnum() else ""


def whole_words(text: Traced) -> Traced:
    """Words that printing took apart: large first letters, spaced-out headings."""
    if not _LONE_CAPITAL.search(text.text):
        return text
    return text.sub(_DROP_CAP, _drop_cap).sub(_SPACED_WORD, _spaced_word)


def _drop_cap(match: re.Match[str]) -> str:
    letter, rest = match.groups()
    if (
        (len(rest) > 1 or letter in "AIO")
        and letter + rest != "IT"
        and rest.isupper()
        and _SMALL_NEXT.match(match.string, match.end())
    ):
        # One word alone was set in capitals: "A LL happy families".
        rest = rest.lower()
    known = {"A": _AFTER_A, "I": _AFTER_I, "O": _AFTER_O}.get(letter)
    after = match.string[match.end() : match.end() + 1]
    if known is not None:
        if rest.lower() not in known:
            return match.group()
        return letter + rest
    if letter + rest in _TWO_LETTERS and _SMALL_NEXT.match(match.string, match.end()):
        return letter + rest.lower()
    if after == "." and letter + rest in ("MR", "MRS", "DR", "ST"):
        return letter + rest
    if rest.isupper():
        # "T HE SUN rose", but not the letters of "U S A" or "X Y".
        return letter + rest if len(rest) > 1 else match.group()
    if rest in _AFTER_NAMES_OF_LETTERS:
        return letter + rest if letter + rest in _SURELY_WORDS else match.group()
    if rest[0] not in _SECOND_LETTERS.get(letter, "aeiou"):
        return match.group()
    if (len(rest) == 1 and rest not in _ONE_LETTER_ENDS) or after == "-":
        return match.group()
    return letter + rest


def _spaced_word(match: re.Match[str]) -> str:
    word = match.group().replace(" ", "")
    return word if word in _SPACED_WORDS else match.group()


def without_notes(text: Traced) -> Traced:
    """Numbers and signs that point to footnotes are gone."""
    written = text.text
    if "[" in written or "*" in written:
        text = text.sub(_BRACKETED_NOTE, "")
    if not written.isascii():
        text = text.sub(_RAISED, _raised)
    if not _DIGIT.search(written):
        return text
    text = text.sub(_GLUED_NOTE, _glued_note).sub(_CLOSED_NOTE, "")
    text = text.sub(_NOTE_AFTER_YEAR, _first).sub(_NOTE_IN_SENTENCE, _note_in_sentence)

    numbers = [int(number) for number in _WORD_NOTE.findall(text.text)]
    if not numbers:
        return text
    counting = len(numbers) > 1 and all(b - a == 1 for a, b in pairwise(numbers))
    return text.sub(_WORD_NOTE, lambda match: "" if counting or _ends_so(match) else match.group())


def _note_in_sentence(match: re.Match[str]) -> str:
    before = match.string[max(0, match.start() - 4) : match.start()]
    return match[1] if before[-3:] in ("in ", "of ", "by ") else match.group()


def _ends_so(match: re.Match[str]) -> bool:
    return _NO_NAME.search(match.string, max(0, match.start() - 8), match.start()) is not None


def _glued_note(match: re.Match[str]) -> str:
    # With the mark itself, as "fig.3" is no footnote.
    before = match.string[max(0, match.start() - 8) : match.start() + 1]
    return match.group() if match[1] == "." and _ABBREVIATED.search(before) else match[1]


def _raised(match: re.Match[str]) -> str:
    """Powers, for ``math_rules`` to say; after any other word it is a footnote."""
    before = match.string[max(0, match.start() - 8) : match.start()]
    sign = match.group()
    if _PHRASE_CLOSED.search(before):
        return ""
    if not _POWER_BASE.search(before) or sign == "¹" or _YEAR.search(before):
        # "= mc²" is the one formula that everybody writes.
        return sign if re.search(r"= ?[a-z]{2}\Z", before) and sign != "¹" else ""
    return sign


def without_brackets(text: Traced) -> Traced:
    """An editor's letters join their word; his words stand without the commas of an aside."""
    written = text.text
    if "[" in written:
        text = text.sub(_LEFT_OUT, "...").sub(_EDITED_START, _first).sub(_EDITED_END, _first)
        text = text.sub(_EDITED_MARK, _first).sub(_EDITED_WORDS, _edited_words)
    if "(" in written:
        text = text.sub(_LEFT_OUT, "...").sub(_ENDING, _first).sub(_BEGINNING, _first)
    if ". ." in written:
        text = text.sub(_SPACED_DOTS, "...")
    return text


def _first(match: re.Match[str]) -> str:
    """What the first group of a match holds."""
    return match[1]


def _edited_words(match: re.Match[str]) -> str:
    """Words in square brackets, unless they are so many that they are an aside."""
    return match[1] if len(match[1].split()) <= 5 else match.group()

"""Markdown to text and marks of structure; text that is none of it stays as it is."""

from __future__ import annotations

import re

from csm.text.marks import CELL, HEADINGS, ITEM, SCENE
from csm.text.traced import Traced

_FENCE = re.compile(r"^ *(?:```|~~~)[`~]*[ \w+-]{0,40}$", re.MULTILINE)
#: What tools keep above a text: lines of names and values.
_FRONT_MATTER = re.compile(r"\A---\n(?:(?:[\w-]{1,40}:|[ -])[^\n]{0,500}\n){1,60}---\n")
_HEADING = re.compile(r"^ {0,3}#{1,6} ++([^\n]*[^\s#])?[ #]*$", re.MULTILINE)
#: ``{#anchor .class}`` after a title.
_ATTRIBUTES = re.compile(r" ?\{[#.][\w .#:=\"'-]{1,200}\}\Z")
#: H~2~O
_LOWERED = re.compile(r"(?<=[A-Za-z)\]])~([0-9a-z+-]{1,4})~(?!~)")
_UNDERLINED = re.compile(
    r"(?:(?<=\n\n)|\A)( {0,3}[^\s>|*+-][^\n]{0,100})\n *(={3,}|-{3,}) *$", re.M
)
_DELIMITER = r" *+\|?+(?: *+:?-++:? *+\|)++ *+(?::?-++:?)?+ *+\|? *+"
_ROW = r"(?=[^\n|]*\|)[^\n]*+"
_TABLE = re.compile(rf"^({_ROW})\n{_DELIMITER}$((?:\n{_ROW})*+)", re.MULTILINE)
_LOOSE_DELIMITER = re.compile(rf"^{_DELIMITER}$", re.MULTILINE)
_LOOSE_ROW = re.compile(r"^ *\|[^\n]*\| *$", re.MULTILINE)
_EMPTY_ROW = re.compile(rf"^(?=[^\n]*?{CELL})[ :{CELL}-]++$", re.MULTILINE)
_ROW_OF_CELLS = re.compile(rf"^((?=[^\n{CELL}]*{CELL})[^\n]*+)$", re.MULTILINE)
_OUTER_CELLS = re.compile(rf"(?<={ITEM})[ {CELL}]+|(?<![ {CELL}])[ {CELL}]+(?=\n|\Z)")
_QUOTED = re.compile(r"^ {0,3}(?:> ?)+", re.MULTILINE)
_QUOTE_ENDS = re.compile(r"^( {0,3}>[^\n]*)\n(?= *[^\s>])|^( {0,3}[^\s>][^\n]*)\n(?= {0,3}>)", re.M)
_RULE = re.compile(r"^ *+(?:(?:[*•#~§_+=.–—-] *+){3,}+|[*•#~§%] *+)$", re.MULTILINE)
_DOTS = re.compile(r"[. ]+")
_TASK = re.compile(r"^( *[-*+•] +)\[[ xX]\] ", re.MULTILINE)

_TARGET = r"\((?:<[^<>\n]{0,2000}>|[^()\s]{0,2000}(?:\([^()\s]{0,500}\)[^()\s]{0,500}){0,3})"
_LINK = re.compile(
    rf"!?\[((?:[^\[\]\n]|\n(?!\n)|\[[^\[\]\n]{{0,200}}\]){{0,1000}})\]{_TARGET}"
    r"(?: +(?:\"[^\"\n]{0,500}\"|'[^'\n]{0,500}'))?\)"
)
_REFERRED = re.compile(r"!?\[([^\[\]\n]{1,500})\] ?\[([^\[\]\n]{0,100})\]")
_DEFINED = re.compile(
    r"^ {0,3}\[([^\[\]\n^]{1,100})\]: {1,9}<?(?=[^\s>]{0,300}[/.#:])[^\s>]{1,2000}+>?[^\n]{0,300}$",
    re.MULTILINE,
)
_NOTE_LABEL = re.compile(r"^ {0,3}\[\^[^\[\]\n]{1,100}\]:", re.MULTILINE)

_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)([^`\n]{1,300})\1(?!`)")
_HIGHLIGHT = re.compile(r"(?<![=\w])==(?=[\w\"'(*_])|(?<=[\w.,!?\"')*_])==(?![=\w])")
_STRUCK = re.compile(r"~~")
#: A star between two numbers multiplies.
_STARS = re.compile(
    r"(?<!\*)(?<![0-9](?=\*[0-9]))\*{1,3}(?=[^\s*]{1,300}[^*\n]{0,2000}\*)|(?<=\S)\*{1,3}(?!\w)"
)
_INNER_STAR = re.compile(r"(?<=[^\W\d_])\*{1,3}(?=[^\W\d_])")
_UNDERSCORES = re.compile(r"(?<!\w)_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?!\w)")
_ESCAPE = re.compile(r"\\([][\\`*_{}()#+.!~|>=-])")


def read_markdown(text: Traced) -> Traced:
    """Cleaned text without the signs of Markdown, with marks of the structure they told of."""
    written = text.text
    if written.startswith("---\n"):
        text = text.sub(_FRONT_MATTER, "")
        written = text.text
    if "```" in written or "~~~" in written:
        text = text.sub(_FENCE, "\n")
    if "](" in written:
        text = text.sub(_LINK, lambda match: match[1])
        if "](" in text.text:
            # A picture that is a link.
            text = text.sub(_LINK, lambda match: match[1])
    if "[" in written:
        text = _referred(text)
    if "|" in written:
        text = text.sub(_TABLE, _cells).sub(_LOOSE_DELIMITER, "").sub(_LOOSE_ROW, _cells)
        text = text.sub(_EMPTY_ROW, "").sub(_ROW_OF_CELLS, _row).sub(_OUTER_CELLS, "")
    if ">" in written:
        text = text.sub(_QUOTE_ENDS, lambda match: f"{match[1] or match[2]}\n\n")
        text = text.sub(_QUOTED, "")
    if "#" in written:
        text = text.sub(_HEADING, _heading)
    if "===" in written or "---" in written:
        text = text.sub(_UNDERLINED, _underlined)
    text = text.sub(_RULE, _rule)
    return _inline(text)


def _referred(text: Traced) -> Traced:
    """Links whose targets stand elsewhere, and those targets."""
    names = {match[1].casefold() for match in _DEFINED.finditer(text.text)}
    if names:
        text = text.sub(
            _REFERRED,
            lambda match: match[1] if (match[2] or match[1]).casefold() in names else match.group(),
        ).sub(_DEFINED, "")
    return text.sub(_NOTE_LABEL, "").sub(_TASK, lambda match: match[1])


def _heading(match: re.Match[str]) -> str:
    if not match[1]:
        return "\n\n"
    title = _ATTRIBUTES.sub("", match[1])
    level = match.group()[: match.start(1) - match.start()].count("#")
    closing = match.group()[match.end(1) - match.start() :]
    # "C#" is no heading that is closed by a sign.
    sign = closing.rstrip() if closing[:1] == "#" else ""
    return f"\n\n{HEADINGS[level - 1]}{title}{sign}\n\n"


def _underlined(match: re.Match[str]) -> str:
    line = match[1].strip()
    if line.endswith((".", '."', ".'")):
        # Prose above a rule.
        return f"{line}\n\n{SCENE}\n\n"
    return f"{HEADINGS[0 if match[2][0] == '=' else 1]}{line}\n\n"


def _cells(match: re.Match[str]) -> str:
    """Rows of a table with marks between their cells, of the same length."""
    return match.group().replace("|", CELL)


def _row(match: re.Match[str]) -> str:
    return f"\n\n{ITEM}{match[1]}\n\n"


def _rule(match: re.Match[str]) -> str:
    """A line of signs alone parts scenes; one of dots alone is a silence within one."""
    return "" if _DOTS.fullmatch(match.group()) else f"\n\n{SCENE}\n\n"


def _inline(text: Traced) -> Traced:
    written = text.text
    if "\\" in written:
        text = text.sub(_ESCAPE, lambda match: f" {match[1]} " if match[1] == "*" else match[1])
    if "`" in written:
        text = text.sub(_CODE, lambda match: match[2])
    if "==" in written:
        text = text.sub(_HIGHLIGHT, "")
    if "~" in written:
        text = text.sub(_STRUCK, "").sub(_LOWERED, lambda match: match[1])
    if "*" in written:
        text = text.sub(_STARS, "").sub(_INNER_STAR, "")
    if "_" in written:
        text = text.sub(_UNDERSCORES, "")
    return text

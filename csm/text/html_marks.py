"""HTML to text and marks of structure, for catalogues that hold it by intention or by mistake.

No parser of documents: text that merely holds a ``<`` must lose nothing, and unclosed or misplaced
tags are the rule. Scripts, comments and unknown tags are silent; blocks part paragraphs.
"""

from __future__ import annotations

import html
import re

from csm.text.marks import CELL, HEADINGS, ITEM, SCENE
from csm.text.traced import Traced
from csm.text.vocabulary import words

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")

# Each repetition stops where the same would begin anew, so that time is linear in hostile text.
_COMMENT = re.compile(r"<!--(?:(?!<!--|-->)[\s\S])*-->")
_CDATA = re.compile(r"<!\[CDATA\[((?:(?!<!\[CDATA\[|\]\]>)[\s\S])*)\]\]>")
_DECLARATION = re.compile(r"<[!?][^<>]{0,500}>|<!--|-->|\]\]>")
_SILENT_NAMES = ("script", "style", "head", "template", "svg", "math", "noscript", "iframe")
_SILENT = re.compile(
    rf"<({'|'.join(_SILENT_NAMES)})\b[^<>]{{0,2000}}>(?:(?!<\1\b|</\1\b)[\s\S])*</\1\s*>",
    re.IGNORECASE,
)
_RAISED = re.compile(r"<(sup|sub)\b[^<>]{0,500}>((?:(?!</?su[pb]\b)[\s\S]){0,200})</\1\s*>", re.I)
_TAG = re.compile(
    r"<(/?)([A-Za-z][A-Za-z0-9._-]{0,60}(?::[A-Za-z][A-Za-z0-9._-]{0,60})?)"
    # A value in quotes may hold a ">".
    r"((?:\s|/)(?:=\s{0,9}\"[^\"<]{0,2000}\"|=\s{0,9}'[^'<]{0,2000}'|[^<>]){0,4000}+)?>"
)
_DOCUMENT = re.compile(r"</(?:p|div|li|td|th|h[1-6])\s*>|<br\b", re.IGNORECASE)
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")
_ALT = re.compile(r"\balt\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)')", re.IGNORECASE)
_MARKED_SPACE = re.compile(rf"(?<=[{ITEM}{''.join(HEADINGS)}])\s+")
_INNER_ITEM = re.compile(rf"{ITEM}(?=[{ITEM}{''.join(HEADINGS)}])")
_CELL_BY_LINE = re.compile(rf"{CELL}\s*(?=\n|$)|{CELL}\s*(?={CELL})")

_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
        ),
        *("dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form"),
        *("header", "hgroup", "html", "legend", "main", "menu", "nav", "ol", "p", "pre", "search"),
        *("section", "summary", "table", "tbody", "tfoot", "thead", "title", "ul", "optgroup"),
    )
)
#: Inside a line; the words on both sides of it touch as they are written.
_INLINE = words(
    """
    a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark q rb rp rt rtc
    ruby s samp small span strike strong sub sup time tt u var wbr nobr
    """
)
#: Inside a line, with a gap around it.
_APART = frozenset(
    (
        *(
            "area",
            "audio",
            "base",
            "button",
            "canvas",
            "col",
            "colgroup",
            "embed",
            "input",
            "label",
        ),
        *("link", "map", "meta", "meter", "object", "option", "output", "param", "picture"),
        *(
            "progress",
            "select",
            "source",
            "textarea",
            "track",
            "video",
            "slot",
            "frame",
            "frameset",
        ),
        *("iframe", "noscript", "script", "style", "head", "template", "svg", "math"),
    )
)
_WORD_BEFORE = re.compile(r"[^\W\d_]+\Z")
_ORDINAL_ENDS = frozenset(("st", "nd", "rd", "th"))
_TO_SUPERSCRIPT = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
_FOOTNOTE = re.compile(r"[\[(]?[\d*,;–\- ]{1,12}[\])]?|\[[\w ]{1,20}\]|[*†‡§]+")


def entities(text: Traced) -> Traced:
    """With the entities of HTML as the characters that they stand for."""
    if "&" not in text.text:
        return text
    return text.sub(_ENTITY, lambda match: html.unescape(match.group()))


def read_html(text: Traced) -> Traced:
    """Cleaned text without tags, with marks of structure where they told of it."""
    if "<" not in text.text:
        return text
    if _DOCUMENT.search(text.text):
        # Line breaks mean nothing there; blank lines are of a text with some HTML in it.
        text = text.sub(_LINE_BREAK, " ")
    text = text.sub(_COMMENT, _comment).sub(_CDATA, lambda match: match[1])
    text = text.sub(_SILENT, " ").sub(_DECLARATION, " ")
    text = text.sub(_RAISED, _raised)
    pairs = _paired_names(text.text)
    text = text.sub(_TAG, lambda match: _tag(match, pairs))
    text = text.sub(_CELL_BY_LINE, "").sub(_MARKED_SPACE, "")
    return text.sub(_INNER_ITEM, "")


def _comment(match: re.Match[str]) -> str:
    """Nothing inside a word, else a gap."""
    before = match.string[max(0, match.start() - 1) : match.start()]
    return "" if before.isalpha() and match.string[match.end() : match.end() + 1].isalpha() else " "


def _paired_names(text: str) -> frozenset[str]:
    """Names that some tag closes: tags, whatever they are."""
    return frozenset(match[2].lower() for match in _TAG.finditer(text) if match[1])


def _tag(match: re.Match[str], pairs: frozenset[str]) -> str:
    closing, name, rest = match[1], match[2].lower(), match[3] or ""
    if name in _INLINE and rest.strip(" \n/") and "=" not in rest:
        # "if (a<b && c>d)" compares.
        return match.group()
    if name in _INLINE:
        return '"' if name == "q" else ""
    if name in _BLOCKS:
        return "\n\n"
    if name == "br":
        return "\n"
    if re.fullmatch(r"h[1-6]", name):
        return "\n\n" if closing else f"\n\n{HEADINGS[int(name[1]) - 1]}"
    if name in ("li", "tr"):
        return "\n\n" if closing else f"\n\n{ITEM}"
    if name in ("td", "th"):
        return CELL if closing else ""
    if name == "hr":
        return f"\n\n{SCENE}\n\n"
    if name == "img":
        alt = _ALT.search(rest)
        return f" {alt[1] or alt[2] or ''} " if alt else " "
    if name in _APART or name in pairs or "=" in rest or rest.endswith("/") or ":" in name:
        return " "
    # A placeholder, such as <Enter>: its words are the text's own.
    return match.group()


def _raised(match: re.Match[str]) -> str:
    """Superscripts and subscripts, which are powers, parts of a word or numbers of footnotes."""
    inside = re.sub(r"<[^<>]*>", "", match[2]).strip()
    before = match.string[max(0, match.start() - 1) : match.start()]
    if match[1].lower() == "sub" or inside.lower() in _ORDINAL_ENDS:
        return inside
    if re.fullmatch(r"[+−-]?\d{1,3}", inside):
        # What it means by what it follows is for the rules to say.
        return inside.translate(_TO_SUPERSCRIPT)
    if not inside or _FOOTNOTE.fullmatch(inside):
        return ""
    if re.fullmatch("[a-z]", inside):
        word = _WORD_BEFORE.search(match.string, max(0, match.start() - 4), match.start())
        if word and len(word.group()) > 2:
            return ""
        # x to the n, but M<sup>c</sup>.
        return f"^{inside}" if before.isdigit() or (word and inside in "nkmxij") else inside
    return f"^{inside}" if before.isdigit() else inside

"""Addresses of the net as people say them: "example dot com slash books"."""

from __future__ import annotations

import re

from csm.text.rules import Rule, apply
from csm.text.spoken_numbers import digits
from csm.text.traced import Traced

_HOST = r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}"
_TOP = r"\.(?:com|org|net|edu|gov|info|io|co\.uk|uk|de|fr|eu|tv|app|dev|ai|xyz|biz|mil|int|museum)"
#: Two letters end a host's name only where a path follows, or after a name that is known.
_SHORT = r"(?:bit|t|ow|is|goo|buff|tiny|youtu|lnkd|fb|amzn|rb|cutt|git|pca|we|dl|wp|j|x|s|g)"
_PATH = r"(?:[/?#][^\s<>\"')\]]{0,200})?"
_REAL_PATH = r"/[^\s<>\"')\]]{0,200}"
_FILES = (
    "pdf|txt|docx?|xlsx?|pptx?|jpe?g|png|gif|svg|html?|xml|json|csv|tsv|zip|tar|gz|exe|dll|mp[34]|wav"
    "|flac|ogg|epub|mobi|js|ts|py|rb|rs|go|java|cpp|md|ini|cfg|toml|ya?ml|sh|bat|log|bak|tmp|ttf|css"
)
_PARTS = {
    ".": " dot ",
    "/": " slash ",
    "@": " at ",
    "-": " dash ",
    "_": " underscore ",
    "?": " question mark ",
    "=": " equals ",
    "&": " and ",
    "#": " hash ",
    "%": " percent ",
    "~": " tilde ",
    ":": " colon ",
    "+": " plus ",
}
#: A code rather than a name: digits and letters, or capitals inside.
_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9]{2,24}(?![A-Za-z0-9]))(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])"
    r"[A-Za-z0-9]{2,24}"
)
_SCHEME = re.compile(r"^[a-z]{3,6}://", re.IGNORECASE)
_WWW = re.compile(r"\bwww\b", re.IGNORECASE)
_CHUNK = re.compile(r"[a-z]{3,}|[A-Za-z]|[0-9]")


def _address(match: re.Match[str]) -> str:
    address = _SCHEME.sub("", match.group())
    bare = address.rstrip(".,;:!?/)")
    coded = _CODE.sub(lambda code: _spelled(code.group()), bare)
    words = "".join(_PARTS.get(part, part) for part in coded)
    words = _WWW.sub("w w w", words)
    tail = address[len(bare) :].replace("/", "")
    return " ".join(words.split()) + tail


def _ending(match: re.Match[str]) -> str:
    return f"dot {match[1]}"


def _spelled(code: str) -> str:
    """``3xYz`` character by character; runs of small letters stay together, as words do."""
    return " ".join(digits(part) if part.isdigit() else part for part in _CHUNK.findall(code))


#: What no address is without; a stop inside a word is rare in prose.
_ADDRESS = re.compile(r"[./@:][A-Za-z0-9/]")
_RULES = (
    # DOI 10.1000/182; /etc/hosts
    Rule(re.compile(r"\b10\.[0-9]{4,9}/[^\s<>\"')\]]{1,100}"), _address, ("10.",)),
    Rule(re.compile(r"(?<![^ (\"'])(?:/[\w.-]{1,60}){2,12}/?(?!\w)"), _address, ("/",)),
    Rule(re.compile(r"\b(?:https?|ftps?|sftp)://[^\s<>\"']{1,2000}", re.I), _address, ("://",)),
    Rule(
        re.compile(rf"(?<![\w.+%-])[\w.+%-]{{1,64}}@{_HOST}\.[A-Za-z]{{2,12}}\b"),
        _address,
        ("@",),
    ),
    Rule(
        re.compile(
            rf"(?<![\w.-])(?:(?:www|WWW)\.{_HOST}|{_HOST}(?:{_TOP}|\.(?:COM|ORG"
            rf"|NET)))\b{_PATH}(?!\w)"
        ),
        _address,
    ),
    Rule(
        re.compile(
            rf"(?<![\w.-])(?:{_HOST}\.[a-z]{{2}}{_REAL_PATH}|{_SHORT}\.(?:ly|gl|me|co|be|to|gd)\b)"
        ),
        _address,
    ),
    Rule(re.compile(rf"(?<![\w.-])[\w-]{{1,60}}\.(?:{_FILES})\b(?!\.\w)"), _address),
    # anon.penet.fi
    Rule(
        re.compile(
            r"(?<![\w.-])[a-z][a-z0-9-]{1,62}(?:\.[a-z0-9-]{2,63}){1,3}\.[a-z]{2,3}(?![\w.-]|\.\w)"
        ),
        _address,
        (".",),
    ),
    # "put the dot in .com"
    Rule(re.compile(rf"(?<![^ (\"'])\.(com|org|net|{_FILES})\b(?![.\w])"), _ending, (".",)),
)


def speak_addresses(text: Traced) -> Traced:
    """URLs, host names, short links, e-mail addresses and names of files in words."""
    return apply(_RULES, text) if _ADDRESS.search(text.text) else text

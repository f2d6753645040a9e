"""Lists of objects: prefixes, delimiters, globs, pages.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from narrator_daemon.emulator.database.rules_regex import Regex, RegexError
from narrator_daemon.emulator.storage.objects import Bucket, StoredObject, invalid

#: Objects and prefixes on one page, at most and by default.
MAX_RESULTS = 1000
#: What a glob may hold at most, so that nobody waits for it.
_MAX_GLOB = 1024


@dataclass(slots=True)
class Page:
    """A part of a list.

    Attributes:
        items: objects.
        prefixes: what stands for objects whose names go on after a delimiter.
        next_token: where the next page begins, None after the last.
    """

    items: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str | None = None


def list_objects(bucket: Bucket, given: Mapping[str, str]) -> Page:
    """A page of the objects of a bucket.

    Args:
        bucket: which.
        given: the parameters of the request, named as in the JSON API.

    Raises:
        StorageError: a parameter makes no sense.
    """
    prefix, delimiter = given.get("prefix", ""), given.get("delimiter", "")
    glob = glob_pattern(given["matchGlob"]) if given.get("matchGlob") else None
    if glob is not None and delimiter not in ("", "/"):
        raise invalid("matchGlob goes with the delimiter / alone.")
    trailing = given.get("includeTrailingDelimiter") == "true"
    end = given.get("endOffset", "")
    limit = _limit(given.get("maxResults"))
    after = _read_token(given["pageToken"]) if given.get("pageToken") else ""
    page = Page()
    seen = ""
    for stored in bucket.from_name(max(prefix, given.get("startOffset", ""))):
        name = stored.name
        if not name.startswith(prefix) or (end and name >= end):
            break
        if glob is not None and not glob.found_in(name):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        folder = name[: cut + len(delimiter)] if cut >= 0 else ""
        listed = folder or name
        if listed <= after:
            continue
        if len(page.items) + len(page.prefixes) >= limit and listed != seen:
            page.next_token = _token(seen)
            return page
        if folder and folder not in page.prefixes[-1:]:
            page.prefixes.append(folder)
        if not folder or (trailing and name == folder):
            page.items.append(stored)
        seen = listed
    return page


def _limit(text: str | None) -> int:
    if text is None or text == "":
        return MAX_RESULTS
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise invalid(f"Invalid value for maxResults: {text!r:.80}")
    return min(int(text) or MAX_RESULTS, MAX_RESULTS)


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid("Invalid value for pageToken.") from None


def glob_pattern(glob: str) -> Regex:
    """A glob as a pattern for whole names.

    ``*`` and ``?`` stop at a slash, ``**`` doesn't, ``[…]`` is a set, ``{a,b}`` is one of several.

    Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob

    Raises:
        StorageError: it is none.
    """
    if len(glob) > _MAX_GLOB:
        raise invalid(f"matchGlob has {_MAX_GLOB} characters at most.")
    out: list[str] = []
    at, depth = 0, 0
    while at < len(glob):
        sign = glob[at]
        at += 1
        if sign == "*":
            out.append(".*" if glob[at : at + 1] == "*" else "[^/]*")
            at += len(glob[at:]) - len(glob[at:].lstrip("*"))
        elif sign == "?":
            out.append("[^/]")
        elif sign == "[":
            # The first sign in a set may be the bracket itself.
            end = glob.find("]", at + 1)
            if end < 0:
                raise invalid(f"Invalid value for matchGlob: {glob!r:.80}: a [ is not closed")
            out.append(_set(glob[at:end]))
            at = end + 1
        elif sign in "{}" and (sign == "{" or depth):
            depth += 1 if sign == "{" else -1
            out.append("(" if sign == "{" else ")")
        elif sign == "," and depth:
            out.append("|")
        elif sign == "\\" and at < len(glob):
            out.append(_literal(glob[at]))
            at += 1
        else:
            out.append(_literal(sign))
    try:
        return Regex(f"^{''.join(out)}$")
    except RegexError as error:
        raise invalid(f"Invalid value for matchGlob: {glob!r:.80}: {error}") from None


def _literal(sign: str) -> str:
    return sign if sign.isalnum() else f"\\{sign}"


def _set(body: str) -> str:
    excludes = body[:1] in ("!", "^")
    inside = "".join(sign if sign == "-" else _literal(sign) for sign in body[excludes:])
    return f"[^/{inside}]" if excludes else f"[{inside}]"

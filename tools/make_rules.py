"""Write the database's security rules: one source for production and for the local Firebase.

    python tools/make_rules.py            # writes both files
    python tools/make_rules.py --check    # exits with 1 when one of them is not what this makes

The language of rules has no functions, so that what is said of a dozen fields is said a dozen
times. It is said once here.

Source of the language: https://firebase.google.com/docs/reference/security/database
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PRODUCTION = ROOT / "deploy/firebase/database.rules.json"
DEVELOPMENT = ROOT / "narrator_daemon/emulator/database/default.rules.json"

#: The uid that a daemon with least privilege takes (``firebase.database_auth_uid``).
DAEMON_UID = "narrator-daemon"
_DAEMON = f"(auth !== null && auth.uid === '{DAEMON_UID}')"

_STATUS = "narrativeAudioStatus"
_REQUESTED_AT = "narrativeAudioRequestedAt"
_REQUESTED_BY = "narrativeAudioRequestedBy"
#: Who asks for a failed book again by a command.
_OPERATOR = "narrator-daemon retry"
_NOTICE = "narrativeAudioNotice"
_CLAIM = "narrativeAudioClaim"
_ERROR = "narrativeAudioError"
_FILES = "narrativeAudioFiles"
_CAPTIONS = "narrativeAudioCaptions"
_PREVIEW = "narrativeAudioPreview"
_VOICE = "narrativeAudioVoice"
_CAST = "narrativeAudioCast"
_LEXICON = "narrativeAudioLexicon"
_RETAKE = "narrativeAudioRetake"
_PRIORITY = "narrativeAudioPriority"
_NOT_BEFORE = "narrativeAudioNotBefore"
_BATCH = "narrativeAudioBatch"
_TEXT = "narrative"

#: The daemon's own fields and what each may hold.
_LEAVES = {
    "narrativeAudioUrl": "newData.isString()",
    "narrativeAudioUrlExpiresAt": "newData.isNumber()",
    "narrativeAudioDuration": "newData.isNumber() && newData.val() > 0",
    "narrativeUpdatedAt": "newData.isNumber()",
    "narrativeAudioProgress": "newData.isNumber() && newData.val() >= 0 && newData.val() <= 1",
    "narrativeAudioReadyBy": "newData.isNumber() && newData.val() > 0",
    "narrativeAudioPath": "newData.isString()",
    "narrativeAudioInputHash": "newData.isString() && newData.val().matches(/^[0-9a-f]{64}$/)",
    "narrativeAudioTextHash": "newData.isString() && newData.val().matches(/^[0-9a-f]{64}$/)",
    "narrativeAudioTake": "newData.isNumber() && newData.val() >= 1",
}
_CLAIM_NEEDS = ["owner", "attempt", "giveBacks", "inputHash", "take", "at"]
_CLAIM_FIELDS = [
    *_CLAIM_NEEDS,
    *("token", "textHash", "requestedAt", "notBefore", "lastError/code", "lastError/message"),
]
_ERROR_FIELDS = ["code", "message", "attempts", "at"]
_FILE_NEEDS = ["url", "bytes", "path"]
_FILE_FIELDS = [*_FILE_NEEDS, "urlExpiresAt"]
#: What may lie beside a WAV.
_FORMATS = ["m4a", "opus", "mp3"]
_CAPTION_NAMES = ["json", "vtt", "chapters"]
#: What a book has when it is "ready". A URL for ever has no expiry.
_PUBLISHED = [
    name
    for name in _LEAVES
    if name not in ("narrativeAudioUrlExpiresAt", "narrativeAudioProgress", "narrativeAudioReadyBy")
]

#: How deep a daemon with least privilege is held to leave the catalogue's own fields as they are.
_DEPTH = 6

_LEVELS = "/^(now|normal|bulk)$/"
_CONTROL_STATES = "/^(running|paused|draining)$/"
_SHA256 = "/^[0-9a-f]{64}$/"
_ENTRY = "['book', 'take', 'path', 'bytes', 'seconds', 'fileSha256', 'samplesSha256', 'enteredAt']"
_TOKEN = "/^[A-Za-z0-9_-]{1,100}$/"  # noqa: S105 - what a claim's token looks like


def _same(child: str | None = None) -> str:
    """A value is what it was; objects, which rules cannot compare, are objects still."""
    new, old = (
        ("newData", "data")
        if child is None
        else (
            f"newData.child('{child}')",
            f"data.child('{child}')",
        )
    )
    return f"({new}.val() === {old}.val() || ({new}.hasChildren() && {old}.hasChildren()))"


def _short(value: str, most: int) -> str:
    return f"{value}.val().length <= {most}"


def _kept(child: str) -> str:
    """Not deleted: .validate is not asked of what is deleted, so its parent must say this."""
    return f"(newData.hasChild('{child}') || !data.hasChild('{child}'))"


def _all(*conditions: str) -> str:
    return " && ".join(conditions)


def _any(*conditions: str) -> str:
    return "(" + " || ".join(conditions) + ")"


def _book_by_daemon() -> str:
    new, old = f"newData.child('{_STATUS}').val()", f"data.child('{_STATUS}').val()"
    in_work = _any(*(f"{old} === '{status}'" for status in ("requested", "processing")))
    outcome = _any(
        *(f"{new} === '{status}'" for status in ("requested", "processing", "failed", "ready"))
    )
    ended = _any(*(f"{old} === '{status}'" for status in ("failed", "ready")))
    of_batch = f"newData.hasChild('{_BATCH}')"
    again = f"(({ended} || ({old} === null && {of_batch})) && {new} === 'requested')"
    cancelled = f"({in_work} && {new} === null && data.hasChild('{_BATCH}'))"
    names = json.dumps(_PUBLISHED).replace('"', "'")
    published = _all(
        f"newData.hasChildren({names})", *(f"!newData.hasChild('{n}')" for n in (_CLAIM, _ERROR))
    )
    return _all(
        _same(_TEXT),
        _any(_same(_REQUESTED_BY), again),
        _any(_same(_REQUESTED_AT), again),
        _any(_same(_STATUS), f"({in_work} && {outcome})", again, cancelled),
        _any(f"{new} !== 'ready'", f"{old} === 'ready'", f"({published})"),
    )


def _book_by_client() -> str:
    return _all(*(_kept(name) for name in [*_LEAVES, _CLAIM, _ERROR, _FILES, _CAPTIONS, _PREVIEW]))


def _record(fields: list[str], required: list[str]) -> dict[str, object]:
    """An object of the daemon's: for others neither it nor what is in it changes."""
    names = json.dumps(required).replace('"', "'") if required else ""
    complete, odd = f"newData.hasChildren({names})", f"!data.hasChildren({names})"
    # What others left there in another shape is in nobody's way.
    by_daemon = f"({complete} || (data.exists() && {odd}))"
    unchanged = _all("data.hasChildren()", *(_same(name) for name in fields))
    known = {".validate": _any(_DAEMON, "data.exists()")}
    nested = any("/" in name for name in fields)
    return {
        ".validate": f"{_DAEMON} ? {by_daemon} : (newData.val() === data.val() || ({unchanged}))",
        "$part": {**known, **({"$detail": known} if nested else {})},
    }


def _files(called: list[str]) -> dict[str, object]:
    """What lies beside the WAV, by name: for others neither it nor what is in it changes."""
    record = _record([f"{name}/{field}" for name in called for field in _FILE_FIELDS], [])
    names = json.dumps(_FILE_NEEDS).replace('"', "'")
    complete = f"(newData.hasChildren({names}) || !data.hasChildren({names}) && data.exists())"
    known = {".validate": _any(_DAEMON, "data.exists()")}
    form = {".validate": f"{_DAEMON} ? {complete} : data.exists()", "$detail": known}
    return {".validate": record[".validate"], "$part": form}


def _other_field() -> dict[str, object]:
    """The catalogue's own fields: the daemon leaves them alone, to some depth."""
    kept = {".validate": _any(f"!{_DAEMON}", _same())}
    below: dict[str, object] = {}
    for depth in range(_DEPTH, 1, -1):
        below = {f"$level{depth}": {**kept, **below}}
    invented = "!$field.beginsWith('narrativeAudio')"
    return {".validate": _any(f"(!{_DAEMON} && {invented})", _same()), **below}


def _beside_books() -> dict[str, object]:
    """What a catalogue has beside its books: closed to all but the daemon."""
    owner_and_beat = "newData.hasChildren(['owner', 'beat'])"
    return {
        "narrationLeases": {
            ".read": _DAEMON,
            "$bookId": {
                "$token": {
                    ".write": _DAEMON,
                    ".validate": f"$token.matches({_TOKEN}) && {owner_and_beat}",
                    "owner": {".validate": "newData.isString()"},
                    "beat": {".validate": "newData.isNumber()"},
                    # Optional: versions before it was there still beat.
                    "ttl": {".validate": "newData.isNumber() && newData.val() > 0"},
                    "$other": {".validate": False},
                }
            },
        },
        "narrationWorkers": {
            ".read": _DAEMON,
            "$worker": {".write": _DAEMON, ".validate": "newData.hasChildren(['at'])"},
        },
        "narrationJobs": {
            ".read": _DAEMON,
            "$bookId": {
                ".write": _DAEMON,
                "$token": {".validate": f"$token.matches({_TOKEN}) && newData.hasChildren()"},
            },
        },
        # An index is given to a book once and for ever: marks in files that are out must lead
        # to the same book.
        "narrationMarks": {
            ".read": _DAEMON,
            "$bookId": {
                ".write": f"{_DAEMON} && !data.isNumber() && newData.exists()",
                ".validate": "newData.isNumber() && newData.val() >= 1",
            },
        },
        # What was published is not rewritten: an entry is confirmed once, and removed in the end.
        "narrationRegister": {
            ".read": _DAEMON,
            ".indexOn": ["state", "book", "publishedAt"],
            "$token": {
                ".write": f"{_DAEMON} && (!data.exists() || !newData.exists() || "
                "data.child('state').val() === 'pending')",
                ".validate": f"$token.matches({_TOKEN}) && "
                f"newData.hasChildren({_ENTRY}) && "
                "(newData.child('state').val() === 'pending' || "
                "(!newData.hasChild('state') && newData.child('publishedAt').isNumber()))",
                "book": {".validate": "newData.isString()"},
                "fileSha256": {
                    ".validate": f"newData.isString() && newData.val().matches({_SHA256})"
                },
                "samplesSha256": {
                    ".validate": f"newData.isString() && newData.val().matches({_SHA256})"
                },
                "files": {
                    "$format": {
                        ".validate": "newData.hasChildren(['bytes', 'sha256'])",
                        "bytes": {".validate": "newData.isNumber()"},
                        "sha256": {
                            ".validate": f"newData.isString() && newData.val().matches({_SHA256})"
                        },
                        "$other": {".validate": False},
                    },
                },
            },
        },
        "narrationLimits": {
            ".read": _DAEMON,
            "$user": {".write": _DAEMON, "$grant": {".validate": "newData.isNumber()"}},
        },
        "narrationRenewal": {
            ".read": _DAEMON,
            ".write": _DAEMON,
            ".validate": "newData.hasChildren(['owner'])",
            "owner": {".validate": "newData.isString()"},
            "until": {".validate": "newData.isNumber()"},
            "through": {".validate": "newData.isNumber()"},
            "$other": {".validate": False},
        },
        # What was granted and made on a day, in all and by requester.
        "narrationBudgets": {
            ".read": _DAEMON,
            "$who": {
                ".write": _DAEMON,
                ".validate": "newData.hasChildren(['day', 'seconds'])",
                "day": {".validate": "newData.isNumber()"},
                "seconds": {".validate": "newData.isNumber() && newData.val() >= 0"},
                "granted": {"$grant": {".validate": "newData.isNumber() && newData.val() >= 0"}},
                "$other": {".validate": False},
            },
        },
        # By a command that has the daemon's uid, or by hand in the console.
        "narrationControl": {
            ".read": _DAEMON,
            "fleet": _told(),
            "workers": {"$worker": _told()},
        },
        "narrationLookouts": {
            ".read": _DAEMON,
            "$seat": {
                ".write": _DAEMON,
                ".validate": "newData.hasChildren(['owner', 'instance', 'beat'])",
                "owner": {".validate": "newData.isString()"},
                "instance": {".validate": "newData.isString()"},
                "beat": {".validate": "newData.isNumber()"},
                "$other": {".validate": False},
            },
        },
    }


def _told() -> dict[str, object]:
    """What an operator tells the fleet, or one worker."""
    return {
        ".write": _DAEMON,
        "state": {".validate": f"newData.isString() && newData.val().matches({_CONTROL_STATES})"},
        "booksAtOnce": {
            ".validate": "newData.isNumber() && newData.val() >= 1 && newData.val() <= 64"
        },
        "why": {".validate": _all("newData.isString()", _short("newData", 200))},
        "at": {".validate": "newData.isNumber()"},
        "$other": {".validate": False},
    }


def _batches(readers: str | bool, admin: str) -> dict[str, object]:
    """Many books asked for together: by an admin; what becomes of them is the daemon's word."""
    daemon_or_same = _any(_DAEMON, _same())
    return {
        ".read": readers,
        ".indexOn": ["open"],
        "$batch": {
            ".write": _any(_DAEMON, admin),
            ".validate": f"$batch.matches({_TOKEN}) && "
            "newData.hasChildren(['books', 'requestedAt'])",
            "requestedAt": {
                ".validate": _any(daemon_or_same, "newData.val() === now"),
            },
            "requestedBy": {
                ".validate": _any(daemon_or_same, "(auth !== null && newData.val() === auth.uid)")
            },
            "title": {".validate": _all("newData.isString()", _short("newData", 200))},
            "open": {".validate": "newData.val() === true"},
            "cancel": {".validate": "newData.val() === true"},
            "books": {
                "$book": {".validate": _any(daemon_or_same, "newData.val() === 'requested'")}
            },
            "counts": {"$state": {".validate": daemon_or_same}},
            "finishedAt": {".validate": daemon_or_same},
            "$other": {".validate": False},
        },
    }


def _unread(nodes: dict[str, object]) -> dict[str, object]:
    """Nodes without their own ``.read``: whoever may read what is above may read them."""
    return {
        name: {key: said for key, said in node.items() if key != ".read"}
        for name, node in nodes.items()
        if isinstance(node, dict)
    }


def rules(readers: str | bool, admin: str) -> dict[str, object]:
    """The rules as a tree.

    Args:
        readers: who may read books, texts and URLs of audio included: an expression.
        admin: who, beside the daemon, may write books: an expression.
    """
    leaves = {
        name: {".validate": _any(_same(), f"({_DAEMON} && {kind})")}
        for name, kind in _LEAVES.items()
    }
    by_daemon_kept = f"({_DAEMON} && data.exists() && newData.exists())"
    book = {
        ".write": _any(by_daemon_kept, f"(!{_DAEMON} && {admin})"),
        ".validate": f"{_DAEMON} ? ({_book_by_daemon()}) : ({_book_by_client()})",
        _TEXT: {".validate": _any(_same(), "newData.isString()")},
        _STATUS: {".validate": _any(_same(), _DAEMON, "newData.val() === 'requested'")},
        _REQUESTED_AT: {".validate": _any(_same(), _DAEMON, "newData.val() === now")},
        _REQUESTED_BY: {
            ".validate": _any(
                _same(),
                "(auth !== null && newData.val() === auth.uid)",
                f"({_DAEMON} && newData.val() === '{_OPERATOR}')",
            )
        },
        _NOTICE: {".validate": _any(_same(), f"(!{_DAEMON} && newData.isBoolean())")},
        **leaves,
        _CLAIM: _record(_CLAIM_FIELDS, _CLAIM_NEEDS),
        _ERROR: _record(_ERROR_FIELDS, _ERROR_FIELDS),
        _FILES: _files(_FORMATS),
        _CAPTIONS: _files(_CAPTION_NAMES),
        _VOICE: {".validate": _any(_same(), _all("newData.isString()", _short("newData", 100)))},
        _LEXICON: {
            ".validate": _any(_same(), _all("newData.isString()", _short("newData", 100_000)))
        },
        _CAST: {
            ".validate": _any(_same(), "newData.hasChildren()"),
            "$speaker": {
                ".validate": _any(_same(), _all("newData.isString()", _short("newData", 100)))
            },
        },
        _PREVIEW: _record([*_FILE_FIELDS, "duration"], _FILE_NEEDS),
        _RETAKE: {
            ".validate": _any(_same(), "newData.hasChildren()"),
            "$place": {
                ".validate": _any(_same(), "(newData.isNumber() && newData.val() >= 1)"),
            },
        },
        # Of the frontend; the daemon removes both when the request has ended.
        _PRIORITY: {
            ".validate": _any(
                _same(),
                f"(!{_DAEMON} && newData.isString() && newData.val().matches({_LEVELS}))",
            )
        },
        _NOT_BEFORE: {
            ".validate": _any(_same(), f"(!{_DAEMON} && newData.isNumber() && newData.val() > 0)")
        },
        _BATCH: {
            ".validate": _any(_same(), f"(newData.isString() && newData.val().matches({_TOKEN}))")
        },
        "$field": _other_field(),
    }
    return {
        "rules": {
            "books": {
                ".read": readers,
                ".indexOn": [_STATUS, "narrativeAudioUrlExpiresAt"],
                "$bookId": book,
            },
            **_beside_books(),
            "narrationBatches": _batches(readers, admin),
            "narrationMarksNext": {
                ".read": _DAEMON,
                ".write": f"{_DAEMON} && newData.exists()",
                ".validate": "newData.isNumber() && "
                "(!data.isNumber() || newData.val() > data.val())",
            },
            # Catalogues that do not lie at /books, by the paths of their books.
            "narrationCatalogues": {
                ".read": _DAEMON,
                "$catalogue": {
                    **_unread(_beside_books()),
                    "narrationBatches": _batches(readers, admin),
                },
            },
        }
    }


_PRODUCTION_HEAD = f"""\
// Rules of the Realtime Database; README.md beside this file says how to deploy them.
// Made by tools/make_rules.py. To be made your own in three places:
//   "books" ".read"              who may read the catalogue, texts and URLs of audio included: here
//                                whoever is signed in
//   "$bookId" ".write"           who may edit it: here users with the claim "admin"
//   "{DAEMON_UID}"            the uid in firebase.database_auth_uid
"""
_DEVELOPMENT_HEAD = """\
// The rules of a local Firebase that was given none. They are those of deploy/firebase, but anybody
// may read and write books, signed in or not: for a machine of your own and nothing else. Made by
// tools/make_rules.py.
"""


def files() -> dict[Path, str]:
    """Each file and what belongs into it."""

    def text(head: str, readers: str | bool, admin: str) -> str:
        return head + json.dumps(rules(readers, admin), indent=2) + "\n"

    is_admin = "auth !== null && auth.token.admin === true"
    return {
        PRODUCTION: text(_PRODUCTION_HEAD, "auth !== null", is_admin),
        DEVELOPMENT: text(_DEVELOPMENT_HEAD, True, "true"),
    }


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="write nothing")
    asked = parser.parse_args()
    stale = [path for path, text in files().items() if path.read_text() != text]
    if not asked.check:
        for path, text in files().items():
            path.write_text(text)
    elif stale:
        print("not what tools/make_rules.py makes:", *stale, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

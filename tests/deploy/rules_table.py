"""What clients may and may not do under the rules of deploy/firebase, as data.

Evaluated by the local Firebase's engine in ``test_deploy_rules.py``, and by targaryen's, too, with
``make rules``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.rules import Rules

NOW = 1_800_000_000_000

ADMIN = {"uid": "ada", "token": {"admin": True}}
READER = {"uid": "rob", "token": {}}
DAEMON = {"uid": "narrator-daemon"}
NOBODY = None

HASH = "a" * 64


@dataclass(frozen=True)
class Request:
    """One request and whether the rules must allow it.

    Attributes:
        name: for people.
        auth: the rules' variable of that name.
        data: the database before.
        writes: absolute paths and what is written there, all at once; or
        read: the path that is read.
    """

    name: str
    auth: dict[str, Any] | None
    data: Any
    allowed: bool
    writes: dict[str, Any] | None = None
    read: str | None = None
    now: int = NOW

    def as_json(self) -> dict[str, Any]:
        """For targaryen."""
        what = {"read": self.read} if self.writes is None else {"writes": self.writes}
        return {"auth": self.auth, "now": self.now, "data": self.data, **what}

    def passes(self, rules: Rules) -> bool:
        """Whether the local Firebase's engine allows it."""
        caller = Caller(auth=self.auth)
        if self.writes is None:
            return rules.may_read(caller, self.data, _path(self.read or ""), self.now)
        writes = [(_path(path), value) for path, value in self.writes.items()]
        return rules.may_write(caller, self.data, writes, self.now)


def _path(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("/") if part)


CLAIM = {
    "token": "t1",
    "owner": "w1",
    "attempt": 1,
    "giveBacks": 0,
    "inputHash": HASH,
    "take": 1,
    "requestedAt": 5,
    "at": 6,
    "lastError": {"code": "engine_error", "message": "m"},
}
PLAIN = {
    "title": "Emma",
    "authors": {"austen": {"name": "Jane", "born": {"year": 1775}}},
    "shelf": {"a": {"b": {"c": {"d": {"e": 1}}}}},
    "narrative": "Emma Woodhouse, handsome, clever",
}
REQUESTED = {**PLAIN, "narrativeAudioStatus": "requested", "narrativeAudioRequestedAt": 5}
PROCESSING = {
    **REQUESTED,
    "narrativeAudioStatus": "processing",
    "narrativeAudioProgress": 0.5,
    "narrativeAudioReadyBy": NOW + 9,
    "narrativeAudioClaim": CLAIM,
    "narrativeAudioPreview": {
        "url": "https://example.org/p.m4a",
        "urlExpiresAt": NOW + 1,
        "bytes": 30,
        "path": "n/t1.preview.m4a",
        "duration": 60,
    },
}
READY = {
    **PLAIN,
    "narrativeAudioStatus": "ready",
    "narrativeAudioRequestedAt": 5,
    "narrativeAudioRequestedBy": "ada",
    "narrativeAudioUrl": "https://example.org/a.wav",
    "narrativeAudioUrlExpiresAt": NOW + 1,
    "narrativeAudioDuration": 2.5,
    "narrativeUpdatedAt": 7,
    "narrativeAudioPath": "narrations/b/t1.wav",
    "narrativeAudioInputHash": HASH,
    "narrativeAudioTextHash": HASH,
    "narrativeAudioTake": 1,
    "narrativeAudioFiles": {
        "m4a": {
            "url": "https://example.org/a.m4a",
            "urlExpiresAt": NOW + 1,
            "bytes": 300,
            "path": "narrations/b/t1.m4a",
        }
    },
    "narrativeAudioCaptions": {
        name: {
            "url": f"https://example.org/a.{name}",
            "urlExpiresAt": NOW + 1,
            "bytes": 30,
            "path": f"narrations/b/t1.{name}",
        }
        for name in ("json", "vtt", "chapters")
    },
}
ERROR = {"code": "engine_error", "message": "m", "attempts": 5, "at": 8}
FAILED = {**PLAIN, "narrativeAudioStatus": "failed", "narrativeAudioError": ERROR}
BOOKS = {"plain": PLAIN, "asked": REQUESTED, "work": PROCESSING, "ready": READY, "failed": FAILED}
ENTRY = {
    "book": "ready",
    "take": 1,
    "path": "narrations/ready/t8.wav",
    "bytes": 48044,
    "seconds": 1.0,
    "fileSha256": HASH,
    "samplesSha256": HASH,
    "enteredAt": 7,
}
CLOSED = {
    "narrationLeases": {"work": {"t1": {"owner": "w1", "beat": 3}}},
    "narrationWorkers": {"w1": {"at": 4}},
    "narrationJobs": {"ready": {"t0": {"outcome": "ready"}}},
    "narrationMarks": {"ready": 7},
    "narrationMarksNext": 8,
    "narrationLimits": {"0f": {"1e": 9}},
    "narrationRenewal": {"owner": "w1", "until": 9, "through": 9},
    "narrationLookouts": {"first": {"owner": "w1", "instance": "i1", "beat": 4}},
    "narrationBudgets": {"catalogue": {"day": 5, "seconds": 7, "granted": {"1e": 9}}},
    "narrationControl": {
        "fleet": {"state": "paused", "why": "night", "at": 9},
        "workers": {"w1": {"booksAtOnce": 2}},
    },
    "narrationRegister": {
        "t7": {**ENTRY, "state": "pending"},
        "t8": {**ENTRY, "publishedAt": 8},
    },
    "narrationFingerprints": {"t8": {"form": 1, "bits": "AAAA"}},
}
#: Beside the books of a catalogue that is not at ``/books``.
OTHER = "narrationCatalogues/library%2Ftitles"
BATCH = {
    "requestedAt": 5,
    "requestedBy": "bea",
    "title": "A series",
    "open": True,
    "books": {"asked": "requested", "ready": "ready"},
    "counts": {"total": 2, "ready": 1},
}
_BATCHES = {"narrationBatches": {"b1": BATCH, "b0": {**BATCH, "open": None, "finishedAt": 6}}}
_BESIDE = {name: node for name, node in CLOSED.items() if name != "narrationMarksNext"}
DATABASE = {
    "books": BOOKS,
    **CLOSED,
    **_BATCHES,
    "narrationCatalogues": {OTHER.partition("/")[2]: {**_BESIDE, **_BATCHES}},
    "elsewhere": {"x": 1},
}


def _write(
    allowed: bool, name: str, auth: dict[str, Any] | None, writes: dict[str, Any]
) -> Request:
    return Request(name, auth, DATABASE, allowed, writes=writes)


def _without(book: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in book.items() if key not in names}


def _admin_may() -> list[Request]:
    generate = {
        "books/{}/narrativeAudioStatus": "requested",
        "books/{}/narrativeAudioRequestedAt": NOW,
        "books/{}/narrativeAudioRequestedBy": "ada",
    }
    requests = [
        _write(True, f"generate: {book}", ADMIN, {k.format(book): v for k, v in generate.items()})
        for book in [*BOOKS, "new"]
    ]
    requests += [
        _write(True, f"cancel: {book}", ADMIN, {f"books/{book}/narrativeAudioStatus": None})
        for book in BOOKS
    ]
    requests += [_write(True, f"delete: {book}", ADMIN, {f"books/{book}": None}) for book in BOOKS]
    requests += [
        _write(True, f"edit: {book}", ADMIN, {f"books/{book}/narrative": "edited"})
        for book in BOOKS
    ]
    requests += [
        _write(
            True,
            f"overwrite, daemon's fields kept: {book}",
            ADMIN,
            {f"books/{book}": {**record, "title": "Other", "authors": None}},
        )
        for book, record in BOOKS.items()
    ]
    return [
        *requests,
        _write(True, "add a book", ADMIN, {"books/new": PLAIN}),
        _write(
            True,
            "add a requested book",
            ADMIN,
            {"books/new": {**PLAIN, "narrativeAudioStatus": "requested"}},
        ),
        *(
            _write(
                True,
                f"generate some sentences again: {book}",
                ADMIN,
                {
                    f"books/{book}/narrativeAudioStatus": "requested",
                    f"books/{book}/narrativeAudioRetake": {"0": 3, "1": 7},
                },
            )
            for book in BOOKS
        ),
        _write(
            True,
            "generate in a voice and a cast, with a lexicon",
            ADMIN,
            {
                "books/plain/narrativeAudioStatus": "requested",
                "books/plain/narrativeAudioVoice": "anna",
                "books/plain/narrativeAudioCast": {"Mr Bennet": "john"},
                "books/plain/narrativeAudioLexicon": "Bingley\tBing lee",
            },
        ),
        *(
            _write(
                True,
                f"generate, {level}, later: {book}",
                ADMIN,
                {
                    f"books/{book}/narrativeAudioStatus": "requested",
                    f"books/{book}/narrativeAudioPriority": level,
                    f"books/{book}/narrativeAudioNotBefore": None if level is None else NOW + 1,
                },
            )
            for book in BOOKS
            for level in ("now", "normal", "bulk", None)
        ),
        *(
            _write(True, f"a notice: {choice}", ADMIN, {"books/plain/narrativeAudioNotice": choice})
            for choice in (True, False, None)
        ),
        _write(True, "status alone", ADMIN, {"books/plain/narrativeAudioStatus": "requested"}),
    ]


def _client_must_not() -> list[Request]:
    requests = []
    for field, value in READY.items():
        if field in (*PLAIN, "narrativeAudioRequestedAt", "narrativeAudioRequestedBy"):
            continue
        forged = "x" if isinstance(value, str) else 0.75
        where = f"books/ready/{field}"
        requests.append(_write(False, f"forge {field}", ADMIN, {where: forged}))
        requests.append(_write(False, f"forge {field} as an object", ADMIN, {where: {"x": 1}}))
        requests.append(_write(False, f"new book with {field}", ADMIN, {f"books/n/{field}": value}))
        if field != "narrativeAudioStatus":
            requests.append(_write(False, f"delete {field}", ADMIN, {where: None}))
            kept = _without(READY, field)
            requests.append(
                _write(False, f"overwrite without {field}", ADMIN, {"books/ready": kept})
            )
    for part, value in CLAIM.items():
        where = f"books/work/narrativeAudioClaim/{part}"
        requests.append(_write(False, f"forge claim/{part}", ADMIN, {where: "x"}))
        requests.append(_write(False, f"delete claim/{part}", ADMIN, {where: None}))
        whole = {**CLAIM, part: 99 if isinstance(value, int) else "x"}
        requests.append(
            _write(False, f"forge claim, {part}", ADMIN, {"books/work/narrativeAudioClaim": whole})
        )
    for part in ERROR:
        where = f"books/failed/narrativeAudioError/{part}"
        requests.append(_write(False, f"forge error/{part}", ADMIN, {where: "x"}))
        requests.append(_write(False, f"delete error/{part}", ADMIN, {where: None}))
    for part in READY["narrativeAudioFiles"]["m4a"]:
        where = f"books/ready/narrativeAudioFiles/m4a/{part}"
        requests.append(_write(False, f"forge file/{part}", ADMIN, {where: "x"}))
        requests.append(_write(False, f"delete file/{part}", ADMIN, {where: None}))
    for part in READY["narrativeAudioCaptions"]["json"]:
        where = f"books/ready/narrativeAudioCaptions/json/{part}"
        requests.append(_write(False, f"forge captions/{part}", ADMIN, {where: "x"}))
        requests.append(_write(False, f"delete captions/{part}", ADMIN, {where: None}))
    for part in PROCESSING["narrativeAudioPreview"]:
        where = f"books/work/narrativeAudioPreview/{part}"
        requests.append(_write(False, f"forge preview/{part}", ADMIN, {where: "x"}))
        requests.append(_write(False, f"delete preview/{part}", ADMIN, {where: None}))
    file = READY["narrativeAudioFiles"]["m4a"]
    single = {
        "own files": {"books/plain/narrativeAudioFiles": {"m4a": file}},
        "files a text": {"books/ready/narrativeAudioFiles": "m4a"},
        "a file more": {"books/ready/narrativeAudioFiles/mp3": file},
        "a file less": {"books/ready/narrativeAudioFiles/m4a": None},
        "add to a file": {"books/ready/narrativeAudioFiles/m4a/extra": 1},
        "own captions": {"books/plain/narrativeAudioCaptions": {"vtt": file}},
        "captions a text": {"books/ready/narrativeAudioCaptions": "vtt"},
        "captions more": {"books/ready/narrativeAudioCaptions/srt": file},
        "add to captions": {"books/ready/narrativeAudioCaptions/json/extra": 1},
        "captions less": {"books/ready/narrativeAudioCaptions/vtt": None},
        "a voice of fields": {"books/plain/narrativeAudioVoice": {"name": "anna"}},
        "a voice without end": {"books/plain/narrativeAudioVoice": "a" * 101},
        "a lexicon that is a number": {"books/plain/narrativeAudioLexicon": 1},
        "a cast that is a text": {"books/plain/narrativeAudioCast": "anna"},
        "a speaker of fields": {"books/plain/narrativeAudioCast": {"Emma": {"voice": "anna"}}},
        "own preview": {"books/plain/narrativeAudioPreview": file},
        "add to the preview": {"books/work/narrativeAudioPreview/extra": 1},
        "delete the preview": {"books/work/narrativeAudioPreview": None},
        "again a text": {"books/ready/narrativeAudioRetake": "3"},
        "again a sentence of text": {"books/ready/narrativeAudioRetake/0": "3"},
        "again no sentence": {"books/ready/narrativeAudioRetake/0": 0},
        "a level of no meaning": {"books/asked/narrativeAudioPriority": "first"},
        "a level with more": {"books/asked/narrativeAudioPriority": "nowadays"},
        "a level that is a number": {"books/asked/narrativeAudioPriority": 1},
        "a level of fields": {"books/asked/narrativeAudioPriority": {"now": True}},
        "wanted from a text": {"books/asked/narrativeAudioNotBefore": "tonight"},
        "wanted from no time": {"books/asked/narrativeAudioNotBefore": 0},
        "wanted from fields": {"books/asked/narrativeAudioNotBefore": {"at": NOW}},
        "status processing": {"books/asked/narrativeAudioStatus": "processing"},
        "status failed": {"books/asked/narrativeAudioStatus": "failed"},
        "status of no meaning": {"books/asked/narrativeAudioStatus": "done"},
        "status an object": {"books/asked/narrativeAudioStatus": {"x": 1}},
        "status true": {"books/asked/narrativeAudioStatus": True},
        "requested in the past": {"books/asked/narrativeAudioRequestedAt": NOW - 1},
        "requested in the future": {"books/asked/narrativeAudioRequestedAt": NOW + 1},
        "requested at a text": {"books/asked/narrativeAudioRequestedAt": "now"},
        "requested by another": {"books/asked/narrativeAudioRequestedBy": "eve"},
        "text a number": {"books/plain/narrative": 5},
        "text a list": {"books/plain/narrative": {"0": "a"}},
        "progress": {"books/work/narrativeAudioProgress": 1},
        "another time to be ready by": {"books/work/narrativeAudioReadyBy": NOW},
        "no time to be ready by": {"books/work/narrativeAudioReadyBy": None},
        "own time to be ready by": {"books/asked/narrativeAudioReadyBy": NOW},
        "delete progress": {"books/work/narrativeAudioProgress": None},
        "delete claim": {"books/work/narrativeAudioClaim": None},
        "claim a text": {"books/work/narrativeAudioClaim": "mine"},
        "own claim": {"books/plain/narrativeAudioClaim": CLAIM},
        "add to claim": {"books/work/narrativeAudioClaim/extra": 1},
        "add to the claim's error": {"books/work/narrativeAudioClaim/lastError/extra": 1},
        "change the claim's error": {"books/work/narrativeAudioClaim/lastError/code": "x"},
        "delete error": {"books/failed/narrativeAudioError": None},
        "own error": {"books/plain/narrativeAudioError": ERROR},
        "add to error": {"books/failed/narrativeAudioError/extra": 1},
        "a notice of one's own words": {"books/plain/narrativeAudioNotice": "I am no machine"},
        "a notice that is a number": {"books/plain/narrativeAudioNotice": 1},
        "unknown daemon's field": {"books/plain/narrativeAudioFree": 1},
        "publish": {"books/asked": READY},
        "one forged of many": {"books/plain/title": "T", "books/ready/narrativeAudioUrl": "x"},
        "all books": {"books": None},
        "all there is": {"/": None},
        "elsewhere": {"elsewhere/x": 2},
        "another daemon's path": {"narrationOther/x": 2},
    }
    requests += [_write(False, name, ADMIN, writes) for name, writes in single.items()]
    closed = {
        "narrationLeases/work/t1": {"owner": "w2", "beat": 4, "ttl": 45},
        "narrationLeases/work/t1/beat": 4,
        "narrationLeases/other": {"t": {"owner": "w", "beat": 1}},
        "narrationWorkers/w1": {"at": 5},
        "narrationJobs/ready/t0": {"outcome": "x"},
        "narrationMarks/ready": 9,
        "narrationMarks/new": 9,
        "narrationMarksNext": 9,
        "narrationLimits/0f": None,
        "narrationLimits/0f/1e": 1,
        "narrationRenewal": {"owner": "w2", "until": 9},
        "narrationRenewal/until": 1,
        "narrationLookouts/first": {"owner": "w2", "instance": "i2", "beat": 0},
        "narrationLookouts/first/beat": 5,
        "narrationBudgets/catalogue": {"day": 5, "seconds": 0},
        "narrationBudgets/catalogue/seconds": 0,
        "narrationBudgets/0f": {"day": 5, "seconds": 0},
        "narrationControl": {"fleet": {"state": "running"}},
        "narrationControl/fleet": {"state": "running"},
        "narrationControl/fleet/state": "running",
        "narrationControl/workers/w1": {"state": "paused"},
        "narrationControl/workers/w1/booksAtOnce": 1,
        "narrationRegister/t9": {**ENTRY, "state": "pending"},
        "narrationRegister/t7": {**ENTRY, "publishedAt": 8},
        "narrationRegister/t8": None,
        "narrationRegister/t8/take": 2,
        "narrationFingerprints/t9": {"form": 1, "bits": "AAAA"},
        "narrationFingerprints/t8/bits": "BBBB",
    }
    for who in (ADMIN, READER, NOBODY):
        name = "nobody" if who is None else who["uid"]
        for path, value in closed.items():
            requests.append(_write(False, f"{name}: {path}", who, {path: value}))
            requests.append(_write(False, f"{name}: delete {path}", who, {path: None}))
        requests += [
            Request(f"{name} reads {path}", who, DATABASE, False, read=path)
            for path in ["/", *CLOSED, "narrationLeases/work", "narrationMarks/ready", "elsewhere"]
        ]
    for who, name in ((READER, "no admin"), (NOBODY, "nobody"), ({"uid": "x"}, "no token")):
        requests += [
            _write(
                False, f"{name}: generate", who, {"books/plain/narrativeAudioStatus": "requested"}
            ),
            _write(False, f"{name}: cancel", who, {"books/asked/narrativeAudioStatus": None}),
            _write(False, f"{name}: edit", who, {"books/plain/title": "x"}),
            _write(False, f"{name}: delete", who, {"books/plain": None}),
        ]
    return requests


def _daemon_must_not() -> list[Request]:
    claimed = {
        **REQUESTED,
        "narrativeAudioStatus": "processing",
        "narrativeAudioProgress": 0,
        "narrativeAudioClaim": CLAIM,
    }
    deep = {**claimed, "authors": {"austen": {"name": "Jane", "born": {"year": 1776}}}}
    single = {
        "bring back a deleted book": {"books/gone/narrativeAudioProgress": 0.5},
        "bring back a deleted book whole": {"books/gone": READY},
        "delete a book": {"books/plain": None},
        "delete all books": {"books": None},
        "another title": {"books/asked": {**claimed, "title": "x"}},
        "another author's year": {"books/asked": deep},
        "add a field": {"books/asked": {**claimed, "price": 1}},
        "a field of no meaning": {"books/asked": {**claimed, "narrativeAudioFree": 1}},
        "another text": {"books/asked": {**claimed, "narrative": "x"}},
        "no text": {"books/asked": _without(claimed, "narrative")},
        "requested by another": {"books/ready": {**READY, "narrativeAudioRequestedBy": "eve"}},
        "no requester": {"books/ready": _without(READY, "narrativeAudioRequestedBy")},
        "another time of request": {"books/asked": {**claimed, "narrativeAudioRequestedAt": 6}},
        "claim what nobody asked for": {"books/plain/narrativeAudioStatus": "processing"},
        "ask by itself": {"books/plain/narrativeAudioStatus": "requested"},
        "cancel": {"books/asked/narrativeAudioStatus": None},
        "a status of no meaning": {"books/asked/narrativeAudioStatus": "done"},
        "ready from failed": {"books/failed": {**READY, "narrativeAudioStatus": "ready"}},
        "ready without a URL": {"books/work": _without(READY, "narrativeAudioUrl")},
        "ready with its claim": {"books/work": {**READY, "narrativeAudioClaim": CLAIM}},
        "ready by a text": {"books/work/narrativeAudioReadyBy": "soon"},
        "ready by no time": {"books/work/narrativeAudioReadyBy": 0},
        "a progress of 2": {"books/work/narrativeAudioProgress": 2},
        "a duration of 0": {"books/ready/narrativeAudioDuration": 0},
        "a hash that is none": {"books/ready/narrativeAudioTextHash": "x"},
        "a claim without an owner": {
            "books/asked": {**claimed, "narrativeAudioClaim": _without(CLAIM, "owner")}
        },
        "a file without a path": {
            "books/ready/narrativeAudioFiles/m4a": _without(
                READY["narrativeAudioFiles"]["m4a"], "path"
            )
        },
        "captions without a URL": {
            "books/ready/narrativeAudioCaptions/vtt": _without(
                READY["narrativeAudioCaptions"]["vtt"], "url"
            )
        },
        "files without any": {"books/ready/narrativeAudioFiles": "none"},
        "a preview without a URL": {
            "books/work/narrativeAudioPreview": _without(PROCESSING["narrativeAudioPreview"], "url")
        },
        "an error without a code": {
            "books/work": {
                **_without(PROCESSING, "narrativeAudioClaim", "narrativeAudioProgress"),
                "narrativeAudioStatus": "failed",
                "narrativeAudioError": _without(ERROR, "code"),
            }
        },
        "another index for a book": {"narrationMarks/ready": 9},
        "forget an index": {"narrationMarks/ready": None},
        "an index of text": {"narrationMarks/new": "x"},
        "indices again from 1": {"narrationMarksNext": 1},
        "forget the next index": {"narrationMarksNext": None},
        "a lease without a beat": {"narrationLeases/work/t1": {"owner": "w1"}},
        "a lease with more": {"narrationLeases/work/t1/more": 1},
        "a lease owned by a number": {"narrationLeases/work/t1": {"owner": 1, "beat": 4}},
        "a lifetime of text": {"narrationLeases/work/t1": {"owner": "w1", "beat": 4, "ttl": "x"}},
        "a lifetime of nothing": {"narrationLeases/work/t1": {"owner": "w1", "beat": 4, "ttl": 0}},
        "a beat of text": {"narrationLeases/work/t1": {"owner": "w1", "beat": "x"}},
        "a history entry of text": {"narrationJobs/ready/t9": "x"},
        "a history entry of a bad token": {"narrationJobs/ready/t 9": {"outcome": "ready"}},
        "a lease of a bad token": {"narrationLeases/work/t 1": {"owner": "w1", "beat": 1}},
        "a worker without a time": {"narrationWorkers/w2": {"x": 1}},
        "a limit of text": {"narrationLimits/0f/1e": "x"},
        "an entry that says too little": {"narrationRegister/t9": {"state": "pending"}},
        "an entry of a bad token": {"narrationRegister/t 9": {**ENTRY, "state": "pending"}},
        "an entry whose file has no digest": {
            "narrationRegister/t9": {
                **ENTRY,
                "files": {"m4a": {"bytes": 5, "sha256": "0"}},
                "state": "pending",
            }
        },
        "an entry whose file has no size": {
            "narrationRegister/t9": {
                **ENTRY,
                "files": {"m4a": {"sha256": "c" * 64}},
                "state": "pending",
            }
        },
        "an entry whose file has a size of text": {
            "narrationRegister/t9": {
                **ENTRY,
                "files": {"m4a": {"bytes": "5", "sha256": "c" * 64}},
                "state": "pending",
            }
        },
        "an entry whose file has more": {
            "narrationRegister/t9": {
                **ENTRY,
                "files": {"m4a": {"bytes": 5, "sha256": "c" * 64, "more": 1}},
                "state": "pending",
            }
        },
        "an entry without a digest": {
            "narrationRegister/t9": {**ENTRY, "fileSha256": "0", "state": "pending"}
        },
        "an entry of no book": {"narrationRegister/t9": {**ENTRY, "book": 5, "state": "pending"}},
        "an entry without a digest of samples": {
            "narrationRegister/t9": {**ENTRY, "samplesSha256": "0", "state": "pending"}
        },
        "an entry of no state": {"narrationRegister/t9": ENTRY},
        "another entry in place of a confirmed one": {
            "narrationRegister/t8": {**ENTRY, "take": 2, "publishedAt": 9}
        },
        **{
            f"an entry of a file {what}": {
                "narrationRegister/t9": {**ENTRY, "state": "pending", "files": {"m4a": file}}
            }
            for what, file in (
                ("without a digest", {"bytes": 5}),
                ("of no digest", {"bytes": 5, "sha256": "0"}),
                ("of so many bytes in words", {"bytes": "x", "sha256": HASH}),
                ("with more", {"bytes": 5, "sha256": HASH, "more": 1}),
            )
        },
        "a part of a confirmed entry": {"narrationRegister/t8/take": 2},
        "another fingerprint": {"narrationFingerprints/t8": {"form": 1, "bits": "BBBB"}},
        "a fingerprint without a form": {"narrationFingerprints/t9": {"bits": "AAAA"}},
        "a fingerprint of a number": {"narrationFingerprints/t9": {"form": 1, "bits": 5}},
        "a fingerprint whose form is a text": {
            "narrationFingerprints/t9": {"form": "1", "bits": "AAAA"}
        },
        "a fingerprint with more": {
            "narrationFingerprints/t9": {"form": 1, "bits": "AAAA", "more": 1}
        },
        "a fingerprint of a bad token": {"narrationFingerprints/t 9": {"form": 1, "bits": "AAAA"}},
        "a turn of nobody": {"narrationRenewal": {"until": 9}},
        "a turn of a number": {"narrationRenewal/owner": 9},
        "a turn until a text": {"narrationRenewal/until": "x"},
        "a turn through a text": {"narrationRenewal/through": "x"},
        "a turn with more": {"narrationRenewal/more": 1},
        "a seat of nobody": {"narrationLookouts/first": {"instance": "i1", "beat": 4}},
        "a seat without a beat": {"narrationLookouts/first/beat": None},
        "a seat owned by a number": {"narrationLookouts/first/owner": 1},
        "a seat of a number": {"narrationLookouts/first/instance": 1},
        "a seat whose beat is a text": {"narrationLookouts/first/beat": "x"},
        "a seat with more": {"narrationLookouts/first/more": 1},
        "a budget without a day": {"narrationBudgets/catalogue": {"seconds": 5}},
        "a budget of a day of text": {"narrationBudgets/catalogue/day": "x"},
        "a budget of seconds of text": {"narrationBudgets/catalogue/seconds": "x"},
        "a budget of less than none": {"narrationBudgets/catalogue/seconds": -1},
        "a grant of text": {"narrationBudgets/catalogue/granted/1e": "x"},
        "a grant of less than none": {"narrationBudgets/catalogue/granted/1e": -1},
        "a budget with more": {"narrationBudgets/catalogue/more": 1},
        **{
            f"{what}, told to {part}": {f"narrationControl/{part}/{field}": value}
            for part in ("fleet", "workers/w1")
            for what, field, value in (
                ("a state of no meaning", "state", "stopped"),
                ("a state and more", "state", "paused by me"),
                ("no books at once", "booksAtOnce", 0),
                ("too many books at once", "booksAtOnce", 65),
                ("books at once as a text", "booksAtOnce", "4"),
                ("a reason without end", "why", "x" * 201),
                ("a reason of fields", "why", {"x": 1}),
                ("a time of text", "at", "now"),
                ("something unknown", "sate", "paused"),
            )
        },
        "elsewhere": {"elsewhere/x": 2},
        "all there is": {"/": None},
    }
    for path in ("a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e"):
        single[f"another shelf/{path}"] = {f"books/plain/shelf/{path}": "x"}
    return [_write(False, f"daemon: {name}", DAEMON, writes) for name, writes in single.items()]


def _odd_books() -> list[Request]:
    """A book of a shape that nobody foresaw must not stop the daemon."""
    odd = {
        **PLAIN,
        "narrative": {"0": "a", "1": "b"},
        "narrativeAudioStatus": "requested",
        "narrativeAudioRequestedAt": {"when": "now"},
        "narrativeAudioRequestedBy": {"who": "me"},
        "narrativeAudioUrl": {"x": 1},
        "narrativeAudioClaim": {"x": {"y": 1}},
        "narrativeAudioFree": {"z": 1},
    }
    failed = {
        **_without(odd, "narrativeAudioClaim"),
        "narrativeAudioStatus": "failed",
        "narrativeUpdatedAt": NOW,
        "narrativeAudioError": ERROR,
    }
    cancelled = {**PLAIN, "narrativeAudioProgress": 0.5, "narrativeAudioClaim": CLAIM}
    database = {"books": {"odd": odd, "cancelled": cancelled}}
    processing = {**odd, "narrativeAudioStatus": "processing", "narrativeAudioProgress": 0}

    def write(name: str, value: Any, who: dict[str, Any] = DAEMON, book: str = "odd") -> Request:
        return Request(f"odd: {name}", who, database, True, writes={f"books/{book}": value})

    return [
        write("claimed", {**processing, "narrativeAudioClaim": CLAIM}),
        write("failed", failed),
        write("its claim kept", {**odd, "narrativeAudioUrlExpiresAt": 1}),
        write("dropped when cancelled", PLAIN, book="cancelled"),
        Request(
            "odd: cancelled by an admin",
            ADMIN,
            database,
            True,
            writes={"books/odd/narrativeAudioStatus": None},
        ),
    ]


def _of_batches() -> list[Request]:
    new = {
        "requestedAt": NOW,
        "requestedBy": "ada",
        "title": "Another",
        "open": True,
        "books": {"asked": "requested", "plain": "requested"},
    }
    at = "narrationBatches/{}".format
    bad = {
        "without books": {at("b2"): _without(new, "books")},
        "of a bad id": {at("b 2"): new},
        "of yesterday": {at("b2"): {**new, "requestedAt": 5}},
        "of another": {at("b2"): {**new, "requestedBy": "eve"}},
        "with a title of fields": {at("b1/title"): {"x": 1}},
        "with a longer title": {at("b1/title"): "x" * 201},
        "open by a word": {at("b1/open"): "yes"},
        "cancelled by a word": {at("b1/cancel"): "yes"},
        "with a book that is ready": {at("b1/books/asked"): "ready"},
        "with its counts": {at("b1/counts/ready"): 2},
        "that is over": {at("b1/finishedAt"): 7},
        "with more": {at("b1/more"): 1},
    }
    return [
        _write(True, "a batch", ADMIN, {at("b2"): new}),
        _write(
            True,
            "a batch with its books",
            ADMIN,
            {
                at("b2"): new,
                "books/plain/narrativeAudioStatus": "requested",
                "books/plain/narrativeAudioRequestedAt": NOW,
                "books/plain/narrativeAudioBatch": "b2",
            },
        ),
        _write(True, "a batch is cancelled", ADMIN, {at("b1/cancel"): True}),
        _write(True, "a batch is deleted", ADMIN, {at("b0"): None}),
        *(_write(False, f"a batch {name}", ADMIN, writes) for name, writes in bad.items()),
        *(
            _write(False, f"a batch by {name}", who, {at("b1/cancel"): True})
            for name, who in (("a reader", READER), ("nobody", NOBODY))
        ),
        *(
            Request(f"batches read as {who}", who, DATABASE, who is not NOBODY, read=at("b1"))
            for who in (ADMIN, READER, NOBODY, DAEMON)
        ),
        _write(
            False, "a batch of a book of fields", ADMIN, {"books/asked/narrativeAudioBatch/x": 1}
        ),
        _write(False, "a batch of a bad key", ADMIN, {"books/asked/narrativeAudioBatch": "b 1"}),
        _write(
            True,
            "daemon: a batch is over",
            DAEMON,
            {
                at("b1"): {
                    **_without(BATCH, "open"),
                    "books": {"asked": "cancelled", "ready": "ready"},
                    "counts": {"total": 2, "ready": 1, "cancelled": 1},
                    "finishedAt": NOW,
                }
            },
        ),
        _write(True, "daemon: a batch by a command", DAEMON, {at("b3"): {**new, "requestedAt": 9}}),
        Request(
            "daemon: a book of a batch is cancelled",
            DAEMON,
            {"books": {"b": {**REQUESTED, "narrativeAudioBatch": "b1"}}},
            True,
            writes={"books/b": PLAIN | {"narrativeAudioRequestedAt": 5}},
        ),
        _write(
            True,
            "daemon: a book is asked for in a batch",
            DAEMON,
            {
                "books/plain": {
                    **PLAIN,
                    "narrativeAudioStatus": "requested",
                    "narrativeAudioRequestedAt": 9,
                    "narrativeAudioRequestedBy": "narrator-daemon retry",
                    "narrativeAudioBatch": "b1",
                }
            },
        ),
    ]


def _daemon_may() -> list[Request]:
    told = {
        "pause": {"state": "paused", "why": "night", "at": NOW},
        "drain": {"state": "draining", "at": NOW, "booksAtOnce": 64},
        "resume": None,
    }
    return [
        _write(True, f"daemon: {name}, {part}", DAEMON, {f"narrationControl/{part}": value})
        for part in ("fleet", "workers/w1", "workers/w9")
        for name, value in told.items()
    ] + [
        _write(
            True,
            f"daemon: {book} will be ready by {at}",
            DAEMON,
            {f"books/{book}": {**BOOKS[book], "narrativeAudioReadyBy": at}},
        )
        for book in ("asked", "work")
        for at in (NOW + 5, None)
    ]


def _reads() -> list[Request]:
    return [
        *(
            Request(f"reads {path} as {who}", who, DATABASE, who is not NOBODY, read=path)
            for who in (ADMIN, READER, NOBODY, DAEMON)
            for path in ("books", "books/ready", "books/ready/narrativeAudioUrl")
        ),
        *(Request(f"daemon reads {path}", DAEMON, DATABASE, True, read=path) for path in CLOSED),
        *(
            Request(f"daemon reads {path}", DAEMON, DATABASE, False, read=path)
            for path in ["/", "elsewhere"]
        ),
    ]


def _of_another_catalogue(requests: list[Request]) -> list[Request]:
    """The same of what lies beside the books of a catalogue that is not at ``/books``."""

    def beside(path: str | None) -> bool:
        return path is not None and path.partition("/")[0] in {**_BESIDE, **_BATCHES}

    twins = []
    for one in requests:
        paths = [*(one.writes or {}), one.read]
        if all(path is None or beside(path) for path in paths):
            twins.append(
                replace(
                    one,
                    name=f"another catalogue: {one.name}",
                    writes=one.writes and {f"{OTHER}/{p}": new for p, new in one.writes.items()},
                    read=one.read and f"{OTHER}/{one.read}",
                )
            )
    return twins


def table() -> list[Request]:
    """All that is written by hand."""
    everything = [
        *_admin_may(),
        *_client_must_not(),
        *_daemon_must_not(),
        *_daemon_may(),
        *_of_batches(),
        *_odd_books(),
        *_reads(),
    ]
    everything += _of_another_catalogue(everything)
    # As JSON has it: nulls written out do not exist.
    return json_round(everything)


def json_round(requests: list[Request]) -> list[Request]:
    """Requests whose values are as the database would have them."""
    return [
        Request(
            r.name,
            r.auth,
            json.loads(json.dumps(r.data)),
            r.allowed,
            _pruned(r.writes),
            r.read,
            r.now,
        )
        for r in requests
    ]


def _pruned(writes: dict[str, Any] | None) -> dict[str, Any] | None:
    if writes is None:
        return None

    def prune(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kept = {key: prune(child) for key, child in value.items()}
        return {key: child for key, child in kept.items() if child is not None} or None

    return {path: prune(value) for path, value in writes.items()}

"""What is written where in the database: nodes, fields, statuses; and which values can be used.

A book is what lies under ``/books/{bookId}``: whatever the frontend keeps there, and the
``narrativeAudio*`` fields of the contract. Clients can be kept from the daemon's fields by rules,
but not every project has them, so that any field may hold any JSON value: the functions here say
whether one can be used for what its field means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

#: A JSON object as the database gives it.
Record: TypeAlias = dict[str, Any]

# Fields of a book.
STATUS = "narrativeAudioStatus"
REQUESTED_AT = "narrativeAudioRequestedAt"
REQUESTED_BY = "narrativeAudioRequestedBy"
NOTICE = "narrativeAudioNotice"
URL = "narrativeAudioUrl"
URL_EXPIRES_AT = "narrativeAudioUrlExpiresAt"
DURATION = "narrativeAudioDuration"
UPDATED_AT = "narrativeUpdatedAt"
PROGRESS = "narrativeAudioProgress"
ERROR = "narrativeAudioError"
PATH = "narrativeAudioPath"
INPUT_HASH = "narrativeAudioInputHash"
TEXT_HASH = "narrativeAudioTextHash"
TAKE = "narrativeAudioTake"
FILES = "narrativeAudioFiles"
CAPTIONS = "narrativeAudioCaptions"
VOICE = "narrativeAudioVoice"
CAST = "narrativeAudioCast"
LEXICON = "narrativeAudioLexicon"
PREVIEW = "narrativeAudioPreview"
RETAKE = "narrativeAudioRetake"
PRIORITY = "narrativeAudioPriority"
NOT_BEFORE = "narrativeAudioNotBefore"
BATCH = "narrativeAudioBatch"
READY_BY = "narrativeAudioReadyBy"
CLAIM = "narrativeAudioClaim"

#: What a frontend may set beside a request, and what ends with it.
OF_REQUEST = (RETAKE, PRIORITY, NOT_BEFORE, BATCH)

# Of an object beside the WAV: ``{url, urlExpiresAt, bytes, path}``; of a beginning its length too.
FILE_URL = "url"
FILE_EXPIRES_AT = "urlExpiresAt"
FILE_BYTES = "bytes"
FILE_PATH = "path"
FILE_DURATION = "duration"

# Statuses. A book without one was never asked for, or its request was cancelled.
REQUESTED = "requested"
PROCESSING = "processing"
READY = "ready"
FAILED = "failed"

#: Who asks for what ``narrator-daemon retry`` asks for. Firebase gives nobody such a uid.
OPERATOR = "narrator-daemon retry"

# Nodes beside the books, closed to clients.
LEASES = "narrationLeases"
WORKERS = "narrationWorkers"
JOBS = "narrationJobs"
MARKS = "narrationMarks"
NEXT_MARK = "narrationMarksNext"
LIMITS = "narrationLimits"
RENEWAL = "narrationRenewal"
LOOKOUTS = "narrationLookouts"
REGISTER = "narrationRegister"
FINGERPRINTS = "narrationFingerprints"
CONTROL = "narrationControl"
BUDGETS = "narrationBudgets"
BATCHES = "narrationBatches"

#: Beside the books of a catalogue that is not at ``/books``, the nodes above lie below this one, in
#: one named by the path of its books (``Project.node``). The next index of a mark is of the whole
#: database, as one key reads the marks of all its catalogues.
CATALOGUES = "narrationCatalogues"
DEFAULT_PATH = "books"

#: No books lie there.
OWN_NODES = frozenset(
    {
        LEASES,
        WORKERS,
        JOBS,
        MARKS,
        NEXT_MARK,
        LIMITS,
        RENEWAL,
        LOOKOUTS,
        REGISTER,
        FINGERPRINTS,
        CONTROL,
        BUDGETS,
        BATCHES,
        CATALOGUES,
    }
)

#: The database replaces this by its own clock, epoch milliseconds, when it is written.
SERVER_TIMESTAMP: Mapping[str, str] = {".sv": "timestamp"}

#: Whole numbers beyond this are not exact in JSON.
_LARGEST = 2**53

#: Epoch milliseconds beyond this are no time: the year 5138.
_LAST_MOMENT = 10**14


def is_key(text: str) -> bool:
    """Whether a text can be the key of a node: a book's id, say."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    return 0 < size <= 768 and not re.search(r"[.#$\[\]/\x00-\x1f\x7f]", text)


def children(value: object) -> Record:
    """The children of a node, by key.

    The database answers with a list where the keys are small integers.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): child for index, child in enumerate(value) if child is not None}
    return {}


#: Fields that name files beside the WAV, each by a name of its own: its format, or what it holds.
BESIDE = (FILES, CAPTIONS)


def files_of(book: Record, field: str = FILES) -> dict[str, Record]:
    """The files beside a book's WAV that can be used, by name.

    Args:
        book: as read.
        field: one of ``BESIDE``.
    """
    return {
        name: record
        for name, record in children(book.get(field)).items()
        if isinstance(record, dict) and isinstance(record.get(FILE_PATH), str)
    }


def retake_of(book: Record) -> frozenset[int] | None:
    """The segments that are to be read anew, numbered from 1; None where the whole book is.

    Empty where what stands there names none.
    """
    if RETAKE not in book:
        return None
    named = list(children(book[RETAKE]).values())
    if not all(is_count(number, 1) for number in named):
        return frozenset()
    return frozenset(named)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be reckoned with: finite, and exact if it is whole."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST <= value <= _LARGEST
    )


def is_count(value: object, least: int = 0, most: int = _LARGEST) -> TypeGuard[int]:
    """Whether a value is a whole number from ``least`` to ``most``."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def moment(value: object) -> int | None:
    """A value as a time, epoch milliseconds; None where it cannot be one."""
    return int(value) if is_number(value) and 0 < value < _LAST_MOMENT else None

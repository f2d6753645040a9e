"""What every job of a worker works with."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.ending import Ending
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.claims.register import Register
from narrator_daemon.clock import now_ms
from narrator_daemon.cover import Cover
from narrator_daemon.credentials.files import FileCredentials
from narrator_daemon.daemon.announcements import Announcements
from narrator_daemon.daemon.traces import Off, Traces
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.narration.manner import Manners
from narrator_daemon.narration.segment_store import KeptSegments
from narrator_daemon.queue.forecast import Pace
from narrator_daemon.settings import Limits, Settings
from narrator_daemon.speech import SpeechEngine


@dataclass(frozen=True)
class JobContext:
    """What every job of a worker works with.

    Attributes:
        settings: all of them.
        engine: loaded.
        key: the watermark key.
        credentials: puts into a finished file what it says of itself.
        allot: gives a book's watermark index; told whether it is probably a new one.
        store: where audio goes.
        kept: the finished segments of narrations that are not published yet.
        claims: this worker's claims.
        leases: this worker's leases.
        report: told when a dependency fails.
        stopping: set once the worker is shutting down.
        endings: where the end of the claim is announced.
        register: where publications are entered.
        cover: brings the cover that a book names; raises ``BadCover``.
        limits: gives those that hold now.
        own_fault: gives what of the worker is at fault for an error; None where the book is.
        random_unit: gives numbers in 0..1, for the jitter of retries.
        sleep: waits so many seconds between tries to write an outcome.
        clock: monotonic seconds.
        traces: where claims are traced.
        refusals: told of the books whose outcome the database does not take.
        manners: how books are read; None where every book is read alike.
        now_ms: the database's clock, epoch milliseconds.
        pace: gives what books have taken of late; None where nobody knows.
        facts: what all that is logged of a job says.
    """

    settings: Settings
    engine: SpeechEngine
    key: bytes = field(repr=False)
    credentials: FileCredentials
    allot: Callable[[str, bool], int]
    store: AudioStore
    kept: KeptSegments
    claims: Claims
    leases: Leases
    report: Callable[[Unavailable], None]
    stopping: threading.Event
    endings: Announcements[Ending]
    register: Register
    cover: Callable[[object], Cover | None] = lambda _named: None
    limits: Callable[[], Limits] = Limits
    own_fault: Callable[[Exception], Unavailable | None] = lambda _error: None
    random_unit: Callable[[], float] = random.random
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    traces: Traces = field(default_factory=Off)
    refusals: Refusals = field(default_factory=Refusals)
    manners: Manners | None = None
    now_ms: Callable[[], int] = now_ms
    pace: Callable[[], Pace | None] = lambda: None
    facts: Mapping[str, object] = field(default_factory=dict)

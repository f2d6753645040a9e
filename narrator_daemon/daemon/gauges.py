"""Reads how all parts of the daemon are, at one moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.disk import Disk
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.daemon.loading import Loading
from narrator_daemon.daemon.loops import Loop
from narrator_daemon.daemon.presence import Presence
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.firebase.subscription import Subscription
from narrator_daemon.health.condition import Condition, Phase
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.queue.control import Control
from narrator_daemon.queue.reasons import Waits
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.speech import SpeechEngine


class Gauges:
    """Everything that a condition is read from.

    Args:
        worker_id: this worker's.
        engine: who reads.
        loading: whether it is ready.
        dependencies: which are down.
        subscription: the stream.
        waiting: what is known to wait.
        in_work: what is worked on.
        leases: of this worker.
        reconciler: when it last read.
        loops: all that run.
        refusals: which books are refused.
        store: whether it can delete.
        waits: why books wait.
        disk: how full it is.
        presence: what this worker learned from its entry.
        renewer: until when URLs play.
        now_ms: the database's clock, epoch milliseconds.
        control: what an operator tells this worker.
        emulated: whether all this is on a local Firebase.
        notes: what an operator should know from the start.
    """

    def __init__(
        self,
        worker_id: str,
        engine: SpeechEngine,
        loading: Loading,
        dependencies: Dependencies,
        subscription: Subscription,
        waiting: Waiting,
        in_work: InWork,
        leases: Leases,
        reconciler: Reconciler,
        loops: Sequence[Loop],
        refusals: Refusals,
        store: AudioStore,
        waits: Callable[[], Waits],
        disk: Disk,
        presence: Presence,
        renewer: Renewer,
        now_ms: Callable[[], int],
        *,
        control: Callable[[], Control] = Control,
        emulated: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        self._worker_id = worker_id
        self._engine = engine
        self._loading = loading
        self._dependencies = dependencies
        self._subscription = subscription
        self._waiting = waiting
        self._in_work = in_work
        self._leases = leases
        self._reconciler = reconciler
        self._loops = loops
        self._refusals = refusals
        self._store = store
        self._waits = waits
        self._disk = disk
        self._presence = presence
        self._renewer = renewer
        self._now_ms = now_ms
        self._control = control
        self._emulated = emulated
        self._notes = tuple(notes)

    def read(self, phase: Phase) -> Condition:
        """The condition now."""
        now = time.monotonic()
        loaded = self._loading.loaded
        stream = self._subscription.state
        oldest = self._waiting.oldest()
        leases, beat_at = self._leases.held()
        reconciled_at = self._reconciler.read_at
        waits = self._waits()
        safe_until = self._renewer.safe_until
        now_ms = self._now_ms()
        return Condition(
            phase=phase,
            worker=self._worker_id,
            engine=self._engine.name,
            device=self._engine.device if loaded else None,
            loaded=loaded,
            down=self._dependencies.down,
            stream=stream,
            since_event=None if stream.event_at is None else now - stream.event_at,
            late={loop.name: loop.overdue_seconds for loop in self._loops if loop.alive},
            stuck=self._in_work.stuck,
            in_work=len(self._in_work),
            leases=leases,
            since_beat=None if beat_at is None else now - beat_at,
            since_reconcile=None if reconciled_at is None else now - reconciled_at,
            queue_depth=len(self._waiting),
            oldest_request=None if oldest is None else max(0.0, (now_ms - oldest) / 1000),
            failing={loop.name: (loop.failures, loop.why) for loop in self._loops if loop.failures},
            refused=self._refusals.books,
            cannot_delete=self._store.cannot_delete,
            waiting={str(reason): count for reason, count in waits.counts.items()},
            claimable_age=(
                None if waits.claimable_since is None else (now_ms - waits.claimable_since) / 1000
            ),
            rooms={name: (room.total, room.free) for name, room in self._disk.rooms.items()},
            clock_offset=self._presence.clock_offset,
            is_double=self._presence.is_double,
            loop_failures={loop.name: loop.failed_rounds for loop in self._loops},
            renewal_failures=self._renewer.failures,
            url_expiry=None if safe_until is None else (safe_until - now_ms) / 1000,
            loading=self._loading.state,
            control=self._control(),
            emulated=self._emulated,
            notes=self._notes,
        )

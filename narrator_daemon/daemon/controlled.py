"""This worker does what an operator has told it (``queue.control``)."""

from __future__ import annotations

import time
from collections.abc import Callable

from narrator_daemon import logs
from narrator_daemon.catalogue import CONTROL
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.errors import NodeRefused
from narrator_daemon.firebase import books
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue.control import Control, State, of_worker

#: Seconds for which a worker does without where the rules refuse it the node.
_WITHOUT_SECONDS = 600.0

#: Looks in a row that find nothing in work before a drained worker ends: a claim may be on its way.
_EMPTY_LOOKS = 2

_log = logs.get(__name__)


class Controlled:
    """Looks at what is told, again and again.

    Nothing is claimed before the first look: a worker that is started while the fleet is paused is
    paused. A drain that was told while it ran is over once nothing is in work. One that it finds at
    its start is not: whoever starts ended workers anew would do so for ever.

    Args:
        project: the database.
        worker_id: its own.
        in_work: what it works on.
        on_change: called after each change.
        clock: monotonic seconds.
        on_drained: called at each look at which a drain is over.

    Attributes:
        control: what is told now.
        drained: whether a drain is over, and the worker is to end.
    """

    def __init__(
        self,
        project: Project,
        worker_id: str,
        in_work: InWork,
        on_change: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        on_drained: Callable[[], object] = lambda: None,
    ) -> None:
        self._project = project
        self._worker_id = worker_id
        self._in_work = in_work
        self.drained = False
        self._on_change = on_change
        self._on_drained = on_drained
        self._clock = clock
        self._known = False
        self._etag: str | None = None
        self._without_until = float("-inf")
        self._ends_when_empty = False
        self._empty_looks = 0
        self.control = Control()

    @property
    def holds(self) -> bool:
        """Whether nothing may be claimed now."""
        return self.control.holds or not self._known

    def look(self) -> None:
        """Look once; a few bytes while nothing changes.

        Raises:
            Unavailable: the database did not answer. What was told last holds.
        """
        if self._clock() >= self._without_until:
            self._read()
        self._drain()

    def _read(self) -> None:
        try:
            place = self._project.node_path(CONTROL)
            changed, value = books.on_node(self._project, place, self._get)
        except NodeRefused as error:
            # Rules from before there was such a node: nobody can have told anything.
            _log.info("no_control", why=str(error))
            self._without_until = self._clock() + _WITHOUT_SECONDS
            self._etag, changed, value = None, True, None
        if changed:
            self._take_in(of_worker(value, self._worker_id))

    def _get(self) -> tuple[bool, object]:
        """Whether the node holds something else than before, and what."""
        node = self._project.node(CONTROL)
        if self._etag is None:
            value, self._etag = node.get(etag=True)
            return True, value
        changed, value, etag = node.get_if_changed(self._etag)
        self._etag = etag if changed else self._etag
        return bool(changed), value

    def _take_in(self, told: Control) -> None:
        before, first = self.control, not self._known
        self.control, self._known = told, True
        if told.ignored != before.ignored:
            for why in told.ignored:
                _log.warning("control_ignored", why=why)
        draining = told.state is State.DRAINING
        self._ends_when_empty = draining and (self._ends_when_empty or not first)
        self._empty_looks = 0
        if told != before:
            facts = {name: value for name, value in told.as_record().items() if value is not None}
            _log.info("control", **facts)
        if told != before or first:
            self._on_change()

    def _drain(self) -> None:
        self._empty_looks = 0 if self._in_work.jobs else self._empty_looks + 1
        before = self.drained
        self.drained = self._ends_when_empty and self._empty_looks >= _EMPTY_LOOKS
        if self.drained and not before:
            _log.info("drained", note="nothing is in work, and nothing more is claimed")
        if self.drained:
            self._on_drained()

"""An operator tells the fleet, or one worker: ``narrator-daemon control``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from narrator_daemon.catalogue import CONTROL, SERVER_TIMESTAMP, WORKERS, children, is_key
from narrator_daemon.errors import WrongUse
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors
from narrator_daemon.firebase.project import Project
from narrator_daemon.queue import control, demand
from narrator_daemon.queue.control import Control, State
from narrator_daemon.settings import Settings


def tell_state(settings: Settings, worker_id: str | None, state: State, why: str = "") -> Control:
    """Tell whether books are claimed; gives what is told now, of that worker or the fleet.

    Args:
        settings: the project.
        worker_id: which worker; None for the whole fleet.
        state: what it is to do.
        why: shown to everybody who asks why nothing is claimed.

    Raises:
        WrongUse: there is no such worker.
        ConfigError: the settings name no project.
        Unavailable: the database did not answer.
    """
    if state is State.RUNNING:
        said: dict[str, Any] = {control.STATE: None, control.WHY: None, control.AT: None}
    else:
        why = " ".join(why.split())[: control.LONGEST_WHY]
        said = {
            control.STATE: str(state),
            control.WHY: why or None,
            control.AT: dict(SERVER_TIMESTAMP),
        }
    return _tell(settings, worker_id, said)


def tell_books_at_once(settings: Settings, worker_id: str | None, books_at_once: int) -> Control:
    """Tell how many books may be in work at once, for each worker; 0 for what its settings say.

    Args and errors as for ``tell_state``.
    """
    return _tell(settings, worker_id, {control.BOOKS_AT_ONCE: books_at_once or None})


def told(settings: Settings) -> tuple[Control, dict[str, Control]]:
    """What is told of the fleet, and to each worker of which something is said by itself.

    Raises:
        ConfigError: the settings name no project.
        Unavailable: the database did not answer.
    """
    with Project(settings) as project:
        node = demand.control_of(project)
    named = children(children(node).get(control.WORKERS))
    return control.of_fleet(node), {name: control.of_worker(node, name) for name in sorted(named)}


def _tell(settings: Settings, worker_id: str | None, said: Mapping[str, Any]) -> Control:
    with Project(settings) as project:
        keys = [control.FLEET]
        if worker_id is not None:
            _require(project, worker_id)
            keys = [control.WORKERS, worker_id]
        node, place = project.node(CONTROL, *keys), project.node_path(CONTROL, *keys)
        books.on_node(project, place, lambda: node.update(dict(said)))
        now = demand.control_of(project)
    return control.of_fleet(now) if worker_id is None else control.of_worker(now, worker_id)


def _require(project: Project, worker_id: str) -> None:
    """See to it that a worker is known: one that is misspelled would never obey.

    Raises:
        WrongUse: it is not.
    """
    with database_errors():
        known = sorted(children(project.node(WORKERS).get(shallow=True)))
        told_before = is_key(worker_id) and worker_id in children(
            children(demand.control_of(project)).get(control.WORKERS)
        )
    if worker_id not in known and not told_before:
        there = ", ".join(known[:20]) or "none"
        raise WrongUse(f"No worker {worker_id!r} has been seen for a day; there are: {there}.")

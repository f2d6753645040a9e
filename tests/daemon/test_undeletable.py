"""A bucket from which nothing may be deleted: narrations go on, and little is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.emulator.harness.faults import Fault
from narrator_daemon.errors import Unavailable
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping.sweep import Sweeper
from tests.actors import Frontend, Inside, wait_until

TEXT = "A text of a few words, to be read aloud."


def probes(store: AudioStore) -> list[str]:
    return [one.path for one in store.objects(most=100) if "/probe-" in one.path]


def test_claiming_comes_back_and_one_probe_stays_until_the_sweep_may_take_it(
    firebase: LocalFirebase, frontend: Frontend, start_inside: Callable[..., Inside]
) -> None:
    inside = start_inside(WATERMARK__SELF_CHECK="false").wait_ready()
    undeletable = firebase.faults.add(
        Fault("status", service="storage", method="DELETE", status=403)
    )
    report = inside.parts.desks[0].claimer._on_unavailable
    with Project(inside.settings) as project:
        store = AudioStore(project, inside.settings.storage)
        for number in range(3):
            report(Unavailable("storage", "storage answers 503"))
            wait_until(lambda: not inside.condition.down, "storage to count as up again")
            frontend.add_requested(f"b{number}", TEXT)
            frontend.wait_for(f"b{number}", "ready")
            assert len(probes(store)) == 1
        assert firebase.faults.hits(undeletable) >= 3
        assert any("cannot be deleted" in line for line in inside.condition.attention)
        assert inside.condition.status == "healthy"
        firebase.faults.clear()
        far = Sweeper(project, store, least_age_seconds=-3600)
        assert far.round() == 1
        assert probes(store) == []


def test_a_sweep_does_not_try_them_all(
    firebase: LocalFirebase, start_inside: Callable[..., Inside]
) -> None:
    inside = start_inside().wait_ready()
    with Project(inside.settings) as project:
        store = AudioStore(project, inside.settings.storage)
        bucket: Any = project.bucket
        # As earlier versions left them.
        for number in range(10):
            bucket.blob(f"narrations/probe-{number:032x}").upload_from_string(b"")
        fault = firebase.faults.add(Fault("status", service="storage", method="DELETE", status=403))
        sweeper = Sweeper(project, store, least_age_seconds=-3600)
        assert sweeper.round() == 0
        assert firebase.faults.hits(fault) == 3
        firebase.faults.clear()
        sweeper = Sweeper(project, store, least_age_seconds=-3600)
        assert sweeper.round() == 10

"""Metrics. What alerts and dashboards make of them: tests/deploy."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from narrator_daemon import settings
from narrator_daemon.claims.ending import Ending
from narrator_daemon.daemon.metrics import Metrics
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health.condition import Condition
from narrator_daemon.speech import Slots

#: Made where there is a GPU only.
GPU = {
    "narrator_gpu_memory_bytes",
    "narrator_gpu_memory_used_bytes",
    "narrator_gpu_memory_reserved_bytes",
    "narrator_gpu_utilization_ratio",
}


class _Engine:
    """An engine as far as metrics ask it."""

    name, device = "csm", "cpu"
    slots = Slots(occupied=3, total=8)


class _Counts:
    """A store and a renewer, as far as metrics ask them."""

    uploaded_bytes, upload_retries, renewed = 1000, 2, 5


def condition(**known: Any) -> Condition:
    fields: dict[str, Any] = {
        "phase": "running",
        "worker": "w",
        "engine": "csm",
        "device": "cpu",
        "loaded": True,
        "down": {},
        "stream": StreamState("live", opened=3),
        "since_event": 1.0,
        "late": {"heart": 0.0},
        "stuck": 0,
        "in_work": 1,
        "leases": 1,
        "since_beat": 1.0,
        "since_reconcile": 1.0,
        "queue_depth": 4,
        "oldest_request": 12.5,
    }
    return Condition(**{**fields, **known})


def metrics(seen: Condition) -> Metrics:
    counts: Any = _Counts()
    engine: Any = _Engine()
    return Metrics(
        settings.Metrics(), lambda: seen, lambda: 2, engine, counts, counts, ("database", "storage")
    )


def published(audio_seconds: float) -> Ending:
    facts = {"audioSeconds": audio_seconds, "secondsByStep": {"speech": 1.0}}
    return Ending("b", "published", facts=facts)


def value(made: Metrics, name: str, **labels: str) -> float | None:
    return made.registry.get_sample_value(name, labels)


def test_slots_and_counters_are_read_when_they_are_asked_for() -> None:
    made = metrics(condition())
    assert value(made, "narrator_engine_slots") == 8
    assert value(made, "narrator_engine_slots_occupied") == 3
    assert value(made, "narrator_stream_reconnects_total") == 2
    assert value(made, "narrator_upload_retries_total") == 2
    assert value(made, "narrator_url_renewals_total") == 5
    assert value(made, "narrator_oldest_request_age_seconds") == 12.5


class _Cuda:
    """A GPU of 80 GB, 10 of them in use."""

    utilization_error: Exception | None = None

    def mem_get_info(self, _device: str) -> tuple[int, int]:
        return 70 * 10**9, 80 * 10**9

    def memory_reserved(self, _device: str) -> int:
        return 8 * 10**9

    def utilization(self, _device: str) -> int:
        if self.utilization_error is not None:
            raise self.utilization_error
        return 93


def test_the_gpu_is_read_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = _Cuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    made = metrics(condition(device="cuda:0"))
    assert {name: value(made, name) for name in GPU} == {
        "narrator_gpu_memory_bytes": 80e9,
        "narrator_gpu_memory_used_bytes": 10e9,
        "narrator_gpu_memory_reserved_bytes": 8e9,
        "narrator_gpu_utilization_ratio": 0.93,
    }
    cuda.utilization_error = ModuleNotFoundError("pynvml")
    assert value(made, "narrator_gpu_utilization_ratio") is None
    assert value(made, "narrator_gpu_memory_used_bytes") == 10e9


def test_what_is_wrong_can_be_told_apart() -> None:
    down = metrics(condition(down={"storage": "403"}, stuck=1))
    assert value(down, "narrator_healthy") == 0
    assert value(down, "narrator_live") == 0
    assert value(down, "narrator_ready") == 1
    assert value(down, "narrator_dependency_up", dependency="storage") == 0
    assert value(down, "narrator_dependency_up", dependency="database") == 1


def test_a_lost_lease_counts_once_and_gives_no_audio() -> None:
    made = metrics(condition())
    made.ended(Ending("b", "fenced", lease_lost=True, since_request=3.0))
    assert value(made, "narrator_lease_losses_total") == 1
    assert value(made, "narrator_books_total", outcome="fenced") == 1
    assert value(made, "narrator_audio_seconds_total") == 0
    assert value(made, "narrator_request_to_ready_seconds_count") == 0


def test_names_are_of_the_ecosystem() -> None:
    made = metrics(condition())
    for family in made.registry.collect():
        assert family.documentation.endswith(".") or family.name.startswith("process_")
        assert re.fullmatch(r"(narrator|process)_[a-z_]+", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)

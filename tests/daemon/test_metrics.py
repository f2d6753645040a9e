"""Metrics. What alerts and dashboards make of them: tests/deploy."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from narrator_daemon import settings
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.daemon.metrics import Metrics
from narrator_daemon.errors import ConfigError
from narrator_daemon.firebase.subscription import StreamState
from narrator_daemon.health.ask import Health, Probe, ask
from narrator_daemon.health.condition import Condition
from narrator_daemon.health.state_folder import StateFolder
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
        "waiting": {"limit": 3, "no_room": 1},
        "claimable_age": 7.5,
        "rooms": {"state": (1000, 10), "kept": (2000, 500)},
        "clock_offset": -0.2,
        "loop_failures": {"heart": 2},
        "renewal_failures": 4,
        "url_expiry": 3600.0,
    }
    return Condition(**{**fields, **known})


def metrics(
    seen: Condition,
    port: int = 0,
    ask: Callable[[Probe], Health] = lambda _probe: Health(2, {}),
    engine: Any = None,
) -> Metrics:
    made = Metrics(settings.Metrics(port=port), ask)
    counts = _Counts()
    desk: Any = SimpleNamespace(
        name="", store=counts, renewer=counts, dependencies=("database", "storage", "disk")
    )
    made.watch(lambda: seen, lambda: 2, engine or _Engine(), [desk])
    return made


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


def test_an_engine_that_is_not_loaded_or_has_no_slots_says_nothing_of_them() -> None:
    assert value(metrics(condition(loaded=False)), "narrator_engine_slots") is None
    plain = metrics(condition())
    engine: Any = SimpleNamespace(name="tone", device="cpu")
    with_plain = metrics(condition(), engine=engine)
    assert value(plain, "narrator_engine_slots") == 8
    assert value(with_plain, "narrator_engine_slots") is None


def test_why_books_wait_and_what_runs_out_is_there_by_name() -> None:
    made = metrics(condition())
    waiting = {
        reason: value(made, "narrator_waiting", reason=reason)
        for reason in ("no_room", "limit", "retry", "claimed", "paused", "dependency", "refused")
    }
    assert waiting == {**dict.fromkeys(waiting, 0), "limit": 3, "no_room": 1}
    assert value(made, "narrator_claimable_age_seconds") == 7.5
    assert value(made, "narrator_disk_bytes", folder="kept") == 2000
    assert value(made, "narrator_disk_free_bytes", folder="state") == 10
    assert value(made, "narrator_clock_offset_seconds") == -0.2
    assert value(made, "narrator_loop_failures_total", loop="heart") == 2
    assert value(made, "narrator_url_renewal_failures_total") == 4
    assert value(made, "narrator_url_expiry_seconds") == 3600
    assert value(made, "narrator_loaded") == 1
    # What is not known is not said.
    early = metrics(condition(clock_offset=None, url_expiry=None, claimable_age=None))
    assert value(early, "narrator_clock_offset_seconds") is None
    assert value(early, "narrator_url_expiry_seconds") is None
    assert value(early, "narrator_claimable_age_seconds") == 0


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
    for elsewhere in ("cpu", None):
        told = metrics(condition(device=elsewhere))
        assert [value(told, name) for name in GPU] == [None] * len(GPU)
    monkeypatch.delitem(sys.modules, "torch")
    assert value(made, "narrator_gpu_memory_bytes") is None
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
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


def test_what_a_narration_took_is_counted_by_step() -> None:
    made = metrics(condition())
    steps = {"speech": 20.0, "upload": 0.5}
    facts = {"audioSeconds": 60.0, "secondsByStep": steps}
    made.ended(Ending("b", "published", facts=facts, since_request=25.0))
    made.ended(Ending("c", "failed", facts=facts, failure=Failure(ErrorCode.NO_TEXT, "None.")))
    for step, seconds in steps.items():
        assert value(made, "narrator_step_seconds_count", step=step) == 2
        assert value(made, "narrator_step_seconds_sum", step=step) == 2 * seconds
    assert value(made, "narrator_audio_seconds_total") == 60
    assert value(made, "narrator_request_to_ready_seconds_count") == 1
    assert value(made, "narrator_request_to_ready_seconds_sum") == 25
    assert value(made, "narrator_books_total", outcome="published") == 1
    assert value(made, "narrator_failures_total", code="no_text") == 1
    assert value(made, "narrator_lease_losses_total") == 0


@pytest.mark.parametrize(
    ("attempt", "since_request", "count"), [(1, 0.0, 1), (1, 7.0, 1), (1, None, 0), (2, 7.0, 0)]
)
def test_a_first_claim_counts_where_its_request_has_a_time(
    attempt: int, since_request: float | None, count: int
) -> None:
    made = metrics(condition())
    claim = Claim("t", "w", attempt, 0, "hash", 1, 7, 1000)
    made.claimed(Claimed("b", claim, since_request))
    assert value(made, "narrator_claim_latency_seconds_count") == count
    assert value(made, "narrator_claim_latency_seconds_sum") == (since_request or 0 if count else 0)


def test_a_lost_lease_counts_once_and_gives_no_audio() -> None:
    made = metrics(condition())
    made.ended(Ending("b", "fenced", lease_lost=True, since_request=3.0))
    assert value(made, "narrator_lease_losses_total") == 1
    assert value(made, "narrator_books_total", outcome="fenced") == 1
    assert value(made, "narrator_audio_seconds_total") == 0
    assert value(made, "narrator_request_to_ready_seconds_count") == 0


def answered(port: int, path: str) -> tuple[int, str, str]:
    """Status, content type and text."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_what_is_asked_over_http_is_answered_with_the_truth(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "state"
    with metrics(condition(), port, lambda probe: ask(folder, probe)):
        status, kind, text = answered(port, "/metrics")
        assert status == 200 and kind.startswith("text/plain") and "narrator_ready 1.0" in text
        for path in ("/", "/metrics/", "/health", "/metrics.json", "/healthz/x"):
            assert answered(port, path)[0] == 404
        # Nobody has said anything yet.
        assert [answered(port, path)[0] for path in ("/healthz", "/readyz")] == [503, 503]
        state = StateFolder(folder)
        state.write(condition().as_record())
        assert [answered(port, path)[0] for path in ("/healthz", "/readyz")] == [200, 200]
        state.write(condition(loaded=False).as_record())
        assert answered(port, "/healthz")[0] == 200
        assert answered(port, "/readyz")[0::2] == (503, "unhealthy\n")
        # A main loop that hangs says nothing new.
        path = folder / "state.json"
        old = json.loads(path.read_text())
        path.write_text(json.dumps({**old, "writtenAt": old["writtenAt"] - 60}))
        assert answered(port, "/healthz")[0::2] == (503, "hanging\n")
        state.close()
    with pytest.raises(URLError):
        answered(port, "/metrics")


def test_an_address_that_is_taken_is_a_mistake_of_the_settings() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(ConfigError, match=r"\[metrics\] port: .* cannot be listened on"),
            metrics(condition(), taken.getsockname()[1]),
        ):
            pass


def test_names_are_of_the_ecosystem() -> None:
    made = metrics(condition())
    for family in made.registry.collect():
        assert family.documentation.endswith(".") or family.name.startswith("process_")
        assert re.fullmatch(r"(narrator|process)_[a-z_]+", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)

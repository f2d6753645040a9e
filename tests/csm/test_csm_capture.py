"""What is captured and replayed on a GPU, with stand-ins for its parts."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from csm.engine import capture
from csm.engine.capture import WARM_UPS, Captured, without_graphs

GPU = torch.device("cuda", 1)


class Graph:
    """Remembers that it was replayed."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def replay(self) -> None:
        self.log.append("replay")


class Stream:
    def wait_stream(self, _other: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    log: list[Any] = []

    @contextlib.contextmanager
    def graph(_graph: Graph, **_: object) -> Iterator[None]:
        log.append(("capture", gc.isenabled()))
        yield
        log.append("captured")

    @contextlib.contextmanager
    def current(device: torch.device) -> Iterator[None]:
        log.append(("current", device))
        yield
        log.append("left")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(log))
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "device", current)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    return log


def test_a_step_is_warmed_up_captured_and_replayed_on_its_own_device(log: list[Any]) -> None:
    progress: list[tuple[int, int]] = []
    run = Captured(
        lambda: log.append("step"), GPU, lambda done, total: progress.append((done, total))
    )
    # Nothing is collected meanwhile: a dead graph among it would break off the capture.
    captured = ["step"] * WARM_UPS + [("capture", False), "step", "captured"]
    assert log == [("current", GPU), *captured, "left"] and gc.isenabled()
    assert progress == [(0, 1), (1, 1)]
    run()
    assert log[-1] == "replay"


def test_graphs_can_be_escaped_from(log: list[Any]) -> None:
    run = Captured(lambda: log.append("step"), GPU, lambda _done, _total: None)
    log.clear()
    with without_graphs():
        run()
        never = Captured(lambda: log.append("other"), GPU, lambda _done, _total: None)
        assert log == ["step"]
    run()
    never()
    assert log == ["step", "replay", "other"]


def test_the_environment_can_escape_from_graphs(
    log: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_without", capture.graphs_are_off({"CSM_NO_GRAPHS": "1"}))
    Captured(lambda: log.append("step"), GPU, lambda _done, _total: None)()
    assert log == ["step"]
    assert not capture.graphs_are_off({}) and not capture.graphs_are_off({"CSM_NO_GRAPHS": "0"})


def test_on_a_cpu_it_is_only_called() -> None:
    calls: list[int] = []
    run = Captured(lambda: calls.append(1), torch.device("cpu"), lambda _done, _total: None)
    assert calls == []
    run()
    assert calls == [1]

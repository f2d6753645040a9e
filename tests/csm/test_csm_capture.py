"""What is captured and replayed on a GPU, with stand-ins for its parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from csm.engine.capture import WARM_UPS, Captured


class Graph:
    """Remembers the step that it captured."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.shape = 0

    def pool(self) -> str:
        return "the pool"

    def replay(self) -> None:
        self.log.append(("replay", self.shape))


class Stream:
    def wait_stream(self, _other: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    log: list[Any] = []

    @contextlib.contextmanager
    def capture(graph: Graph, *, pool: object, stream: object, **_: object) -> Iterator[None]:
        log.append(("capture", pool))
        yield
        graph.shape = log[-1][1]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Graph(log))
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", capture)
    return log


def test_each_shape_is_warmed_up_captured_and_replayed(log: list[Any]) -> None:
    progress: list[tuple[int, int]] = []
    run = Captured(
        lambda shape: log.append(("step", shape)),
        [512, 2048],
        torch.device("cuda", 0),
        lambda done, total: progress.append((done, total)),
    )
    # The largest first, whose memory the other then shares.
    large, small = [("step", 2048)], [("step", 512)]
    captured = [*large * WARM_UPS, ("capture", None), *large]
    captured += [*small * WARM_UPS, ("capture", "the pool"), *small]
    assert log == captured
    assert progress == [(0, 2), (1, 2), (2, 2)]
    run(512)
    run(2048)
    assert log[len(captured) :] == [("replay", 512), ("replay", 2048)]
    assert run.shapes == (512, 2048)


def test_on_a_cpu_it_is_only_called() -> None:
    calls: list[int] = []
    run = Captured(calls.append, [8, 4], torch.device("cpu"), lambda _done, _total: None)
    assert calls == [] and run.shapes == (4, 8)
    run(4)
    assert calls == [4]

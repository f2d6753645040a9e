"""A function captured once in a CUDA graph and replayed, so that the host launches it as one.

Set ``CSM_NO_GRAPHS=1`` to have every step called instead, one kernel after another, for a debugger
or a profiler that shows Python; inside ``without_graphs()`` the same holds for a while.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from csm.engine.device import uncollected

#: Runs before a capture, in which libraries choose kernels and take the memory they keep.
WARM_UPS = 2


def graphs_are_off(environment: Mapping[str, str]) -> bool:
    """Whether an environment asks for no graphs."""
    return environment.get("CSM_NO_GRAPHS", "") not in ("", "0")


_without = graphs_are_off(os.environ)


@contextmanager
def without_graphs() -> Iterator[None]:
    """Call steps instead of replaying or capturing them, in all of this process."""
    global _without
    before, _without = _without, True
    try:
        yield
    finally:
        _without = before


class Captured:
    """Runs ``step()``, on a GPU as one graph.

    What the step reads and writes must stay where it is, and a step must need nothing from the
    host. On a CPU it is simply called.

    Args:
        step: what to run. On a GPU it is run a few times at once, so its effects must not matter
            yet.
        device: where it runs.
        on_progress: called with how many graphs are ready, and how many there are.
    """

    def __init__(
        self,
        step: Callable[[], None],
        device: torch.device,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        if device.type == "cuda" and not _without:
            on_progress(0, 1)
            self._graph = _capture(step, device)
            on_progress(1, 1)

    def __call__(self) -> None:
        """Run the step."""
        if self._graph is None or _without:
            self._step()
        else:
            self._graph.replay()


def _capture(step: Callable[[], None], device: torch.device) -> torch.cuda.CUDAGraph:
    # A capture is the current device's, whatever the stream's is (pytorch/pytorch 87794).
    with torch.cuda.device(device):
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                step()
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        captured = torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")
        # Another thread may go on decoding meanwhile.
        with uncollected(), captured:
            step()
        torch.cuda.current_stream(device).wait_stream(stream)
        return graph

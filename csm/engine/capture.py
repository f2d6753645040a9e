"""A function captured once in a CUDA graph and replayed, so that the host launches it as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

#: Runs before a capture, in which libraries choose kernels and take the memory they keep.
WARM_UPS = 2


class Captured:
    """Runs ``step(shape)`` for some shapes, on a GPU as one graph for each.

    What the step reads and writes must stay where it is, and a step must need nothing from the
    host. On a CPU it is simply called.

    Args:
        step: what to run.
        shapes: what it can be called with. On a GPU each is run a few times at once, so its effects
            must not matter yet.
        device: where it runs.
        on_progress: called with how many shapes are ready, and how many there are.
    """

    def __init__(
        self,
        step: Callable[[int], None],
        shapes: Iterable[int],
        device: torch.device,
        on_progress: Callable[[int, int], None],
    ) -> None:
        self._step = step
        self.shapes = tuple(sorted(shapes))
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        if device.type == "cuda":
            self._capture(device, on_progress)

    def __call__(self, shape: int) -> None:
        """Run the step for one of the shapes."""
        if self._graphs:
            self._graphs[shape].replay()
        else:
            self._step(shape)

    def _capture(self, device: torch.device, on_progress: Callable[[int, int], None]) -> None:
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        pool = None
        # The largest first: the others then fit into its memory.
        for number, shape in enumerate(reversed(self.shapes)):
            on_progress(number, len(self.shapes))
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    self._step(shape)
            stream.synchronize()
            graph = torch.cuda.CUDAGraph()
            # Another thread may go on decoding meanwhile.
            with torch.cuda.graph(
                graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                self._step(shape)
            pool = graph.pool()
            self._graphs[shape] = graph
        torch.cuda.current_stream(device).wait_stream(stream)
        on_progress(len(self.shapes), len(self.shapes))

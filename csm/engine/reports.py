"""How the host hears of the slots: copies that it does not wait for, read one look later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Report:
    """What the slots were at after some look.

    Attributes:
        look: its number, from 0.
        slots: of each slot: frames, done, ended, sound; see ``csm.engine.operands.state.State``.
    """

    look: int
    slots: list[list[int]]


class Reports:
    """Copies of a report on their way to the host.

    On a GPU the host would have to wait for the frames that it has just begun, and the device then
    for the host. It reads what was posted one look before instead: by then it is there, and the
    device has a look's frames to go on with. What a slot did meanwhile is dropped.

    Args:
        report: the tensor that is told, int64 ``[4, B]``.
        behind: looks that the host is behind; 0 reads at once.
    """

    def __init__(self, report: Tensor, behind: int) -> None:
        self._report, self._behind = report, behind
        self._gpu = report.is_cuda
        self._copies = [
            torch.empty(report.shape, dtype=report.dtype, pin_memory=self._gpu)
            for _ in range(behind + 1)
        ]
        self._posted: deque[tuple[int, torch.cuda.Event | None]] = deque()
        #: Looks so far.
        self.looks = 0

    @torch.inference_mode()
    def post(self) -> None:
        """Send the report as it is after all that was begun until now."""
        self._copies[self.looks % len(self._copies)].copy_(self._report, non_blocking=True)
        event = None
        if self._gpu:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._posted.append((self.looks, event))
        self.looks += 1

    def read(self) -> Report | None:
        """The oldest report that is due; waits until it is there."""
        if len(self._posted) <= self._behind:
            return None
        look, event = self._posted.popleft()
        if event is not None:
            event.synchronize()
        return Report(look, self._copies[look % len(self._copies)].t().tolist())

"""What each slot is at: a few numbers a slot, in tensors whose places never change.

A frame reads and writes them on the device; the host writes a column to begin a segment and reads
``report`` now and then.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: What a slot's numbers are, in their order. The last four are what the host asks for.
ROWS = ("positions", "caps", "seeds", "held", "frames", "done", "ended", "sound")
_REPORTED = 4
#: Bits of ``ended``.
ENDED, RAN_AWAY = 1, 2


def column(position: int, cap: int, seed: int) -> list[int]:
    """The numbers of a slot that is about to begin a segment, in the order of ``ROWS``.

    Args:
        position: where the first frame's input belongs.
        cap: frames at most.
        seed: of the segment, at most 63 bits.
    """
    return [position, cap, seed, 0, 0, 0, 0, 1]


class State:
    """The numbers of B slots.

    Args:
        count: B.
        codebooks: codes a frame.
        positions: that a segment may have.
        device: where.

    Attributes:
        values: all of it, int64 ``[rows, B]``; the others are its rows, ``[B]``.
        positions: of what the next frame begins with.
        caps: frames at most.
        seeds: of the segments.
        held: frames in a row that were equal to the one before them.
        frames: how many are finished.
        done: 1 where nothing more is to come, which is where nothing began, too.
        ended: bits: ``ENDED`` where the model ended it, ``RAN_AWAY`` where it held one frame; none
            where it was cut.
        sound: 0 where a value was no number.
        history: the codes of all finished frames, int16 ``[B, positions + 1, codebooks]``.
    """

    def __init__(self, count: int, codebooks: int, positions: int, device: torch.device) -> None:
        self.values = torch.zeros(len(ROWS), count, dtype=torch.int64, device=device)
        self.positions, self.caps, self.seeds, self.held = self.values[:_REPORTED]
        self.report = self.values[_REPORTED:]
        self.frames, self.done, self.ended, self.sound = self.report
        self.done.fill_(1)
        # One more than can be, as a slot that is done goes on writing at its last place.
        self.history = torch.zeros(
            count, positions + 1, codebooks, dtype=torch.int16, device=device
        )
        self._rows = torch.arange(count, device=device)
        self._last = torch.zeros(codebooks, count, dtype=torch.int64, device=device)

    def advance(self, codes: Tensor, ends: Tensor, most_held: int) -> None:
        """Note a frame of each slot.

        Args:
            codes: int64 ``[codebooks, B]``.
            ends: 1 where the frame says that the segment is over, int64 ``[B]``.
            most_held: frames in a row, equal to the one before them, with which a segment has run
                away; 0 for any number.
        """
        self.history.index_put_((self._rows, self.frames), codes.t().to(torch.int16))
        going = 1 - self.done
        ending = ends * going
        if most_held:
            # The first frame has none before it, whatever was spoken in this slot.
            equal = (codes == self._last).all(0) & (self.frames > 0)
            self._last.copy_(codes)
            self.held.add_(1).mul_(equal)
            away = (self.held >= most_held) * going
            self.ended.add_(away, alpha=RAN_AWAY)
            self.done |= away
        self.ended.add_(ending)
        self.positions += going
        self.frames += going - ending
        self.done |= ending | (self.frames >= self.caps)

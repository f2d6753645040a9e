"""Drawing a code of each slot: the likeliest of them, noise that is a hash, and the next input.

There is no generator's state: the noise is a hash of segment, frame, codebook and code, so drawing
can be part of a captured graph, and a segment has the same codes in whichever slot it is spoken.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from csm.engine.kernels import language
from csm.engine.kernels.language import (
    Target,
    gdc_launch_dependents,
    gdc_wait,
    jit,
    libdevice,
    tl,
)
from csm.engine.operands.sampling import GOLDEN, Sampling, mix_

#: Leading bits of a value, as float32 holds it, that can differ; even, as two are found at a time.
BITS = {torch.bfloat16: 16, torch.float16: 20, torch.float32: 32}


class Sampler:
    """Draws codes for a batch of slots: ``start`` a frame, ``draw`` each codebook, ``end`` it.

    Args:
        sampling: how.
        codebooks: codes a frame.
        codes: in a codebook.
        device: of the logits.
    """

    def __init__(
        self, sampling: Sampling, *, codebooks: int, codes: int, device: torch.device
    ) -> None:
        self.sampling = sampling
        self.codebooks, self.codes = codebooks, codes
        # A hash of each code of each codebook, to be mixed with a hash of segment and frame.
        places = torch.arange(codebooks * codes, device=device)
        self._places = mix_(places.mul_(GOLDEN)).view(codebooks, 1, codes)

    def start(self, seeds: Tensor, frames: Tensor, sound: Tensor) -> None:
        """Begin a frame.

        Args:
            seeds: of the segments, int64 ``[B]``.
            frames: their numbers, int64 ``[B]``.
            sound: set to 0 by ``end``, or before, where a logit is no number; int64 ``[B]``.
        """
        self._frames, self._sound = frames, sound
        self._noise = self.noise(seeds, frames)
        self._sums = torch.empty(self.codebooks, len(seeds), device=seeds.device)

    def noise(self, seeds: Tensor, frames: Tensor) -> Tensor | None:
        """Make a frame's noise: a function of seed, frame, codebook and code alone.

        Returns:
            Gumbel noise times temperature, float32 ``[codebooks, B, codes]``: the code at which
            logits plus noise are largest is a draw from their softmax at that temperature (Gumbel
            1954). None at temperature 0.
        """
        if self.sampling.temperature == 0:
            return None
        keys = mix_(mix_(seeds + GOLDEN).add_(frames * GOLDEN))
        bits = mix_(self._places ^ keys[:, None])
        # 23 bits and a half, which float32 holds exactly: above 0 and below 1.
        uniform = (bits >> 41).bitwise_and_(0x7FFFFF).to(torch.float32).add_(0.5).mul_(2.0**-23)
        return uniform.log_().neg_().log_().mul_(-self.sampling.temperature)

    def draw(self, logits: Tensor, codebook: int, out: Tensor) -> None:
        """Draw a code from each row of logits.

        Codebook 0 is not 0 where a segment must not end yet. Where it is 0 and endings are guarded,
        the other codebooks of the frame are drawn without noise.

        Args:
            logits: ``[B, codes]``. May be overwritten.
            codebook: which; the frame's first draw is from 0.
            out: where to write the codes, int64 ``[B]``.
        """
        # A sum is a number only if all of them are: one operator for what would be three.
        torch.sum(logits, -1, dtype=torch.float32, out=self._sums[codebook])
        if codebook == 0:
            logits[:, 0].masked_fill_(self._frames < self.sampling.first_end, float("-inf"))
        if self._noise is None:
            torch.argmax(logits, dim=-1, out=out)
            return
        scores = logits.to(torch.float32, copy=True)
        last = scores.topk(min(self.sampling.top_k, scores.shape[-1]), sorted=False)[0]
        scores.masked_fill_(scores < last.amin(-1, keepdim=True), float("-inf"))
        torch.argmax(scores.add_(self._noise[codebook]), dim=-1, out=out)
        if codebook == 0 and self.sampling.guard_end:
            self._noise[1:].mul_((out != 0)[:, None])

    def draw_and_look_up(
        self, logits: Tensor, codebook: int, out: Tensor, table: Tensor, rows: Tensor
    ) -> None:
        """Draw, and write each code's row of a table to ``rows``, ``[B, hidden]``."""
        self.draw(logits, codebook, out)
        torch.index_select(table, 0, out, out=rows)

    def end(self) -> None:
        """End a frame: all its codes are drawn."""
        self._sound &= self._sums.isfinite().all(0)


@jit
def _mix(bits):
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB
    return bits ^ (bits >> 31)


@partial(jit, unspecialised=("first_end", "codebook"))
def draw_kernel(
    logits,
    seeds,
    frames,
    sound,
    quiet,
    table,
    out,
    rows,
    temperature,
    first_end,
    codebook,
    CODES: tl.constexpr,
    V: tl.constexpr,
    TOP: tl.constexpr,
    H: tl.constexpr,
    HP: tl.constexpr,
    BITS: tl.constexpr,
    FIRST: tl.constexpr,
    GUARD: tl.constexpr,
    GREEDY: tl.constexpr,
    LOOK_UP: tl.constexpr,
    INTERPRETED: tl.constexpr,
    PDL: tl.constexpr,
):
    """One slot's code."""
    b = tl.program_id(0)
    i = tl.arange(0, V)
    # Seeds and frames are written between frames only: this need not wait.
    if PDL:
        gdc_launch_dependents()
    golden = tl.full((), 0x9E3779B97F4A7C15, tl.uint64)
    seed = tl.load(seeds + b).to(tl.uint64, bitcast=True)
    number = tl.load(frames + b)
    frame = number.to(tl.uint64, bitcast=True)
    noise = tl.zeros((V,), tl.float32)
    if not GREEDY:
        key = _mix(_mix(seed + golden) + frame * golden)
        place = _mix((codebook * CODES + i).to(tl.uint64) * golden)
        bits = _mix(place ^ key)
        half = ((bits >> 41) & 0x7FFFFF).to(tl.int32).to(tl.float32) + 0.5
        uniform = half * 1.1920928955078125e-07
        if INTERPRETED:
            noise = -tl.log(-tl.log(uniform)) * temperature
        else:
            # What torch's own log is on a GPU, where Triton's is an approximation.
            noise = -libdevice.log(-libdevice.log(uniform)) * temperature
    if PDL:
        gdc_wait()
    x = tl.load(logits + b * CODES + i, mask=i < CODES, other=0.0).to(tl.float32)
    finite = tl.min((tl.abs(x) < float("inf")).to(tl.int32), 0)
    if finite == 0:
        tl.store(sound + b, tl.zeros((), tl.int64))
    # Both zeros are alike.
    x = tl.where(x == 0.0, 0.0, x)
    x = tl.where(i < CODES, x, float("-inf"))
    if FIRST:
        x = tl.where((i == 0) & (number < first_end), float("-inf"), x)
    if GREEDY:
        score = x
    else:
        # The bits of a float, as an integer of the same order; then the largest integer that at
        # least TOP of them reach, two bits at a time, the numbers that reach each of three
        # candidates counted in one sum.
        u = x.to(tl.int32, bitcast=True)
        order = ((u ^ ((u >> 31) & 0x7FFFFFFF)) >> (32 - BITS)).to(tl.int64)
        least = tl.full((), -(1 << (BITS - 1)), tl.int64)
        for digit in tl.static_range(BITS // 2):
            step = tl.full((), 1 << (BITS - 2 - 2 * digit), tl.int64)
            reached = (order >= least + step).to(tl.int64)
            reached += (order >= least + 2 * step).to(tl.int64) << 21
            reached += (order >= least + 3 * step).to(tl.int64) << 42
            counts = tl.sum(reached, 0)
            least += step * ((counts & 0x1FFFFF) >= TOP).to(tl.int64)
            least += step * (((counts >> 21) & 0x1FFFFF) >= TOP).to(tl.int64)
            least += step * ((counts >> 42) >= TOP).to(tl.int64)
        if not FIRST and GUARD:
            noise = noise * tl.load(quiet + b)
        score = tl.where(order >= least, x + noise, float("-inf"))
    # Within the table, whatever the logits were.
    code = tl.minimum(tl.argmax(score, 0), CODES - 1)
    tl.store(out + b, code.to(tl.int64))
    if FIRST and GUARD:
        tl.store(quiet + b, tl.where(code == 0, 0.0, 1.0))
    if LOOK_UP:
        h = tl.arange(0, HP)
        row = tl.load(table + code * H + h, mask=h < H, other=0.0)
        tl.store(rows + b * H + h, row, mask=h < H)


class FusedSampler(Sampler):
    """The same codes, each drawn in one kernel.

    Args:
        sampling: how.
        codebooks: codes a frame.
        codes: in a codebook.
        device: of the logits.
        target: what it is launched on.
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        codebooks: int,
        codes: int,
        device: torch.device,
        target: Target,
    ) -> None:
        super().__init__(sampling, codebooks=codebooks, codes=codes, device=device)
        self._target = target

    def start(self, seeds: Tensor, frames: Tensor, sound: Tensor) -> None:
        """Begin a frame; see ``Sampler``. The tensors are read and written by the draws."""
        self._seeds, self._frames, self._sound = seeds, frames, sound
        # Written by the first draw.
        self._quiet = torch.empty(len(seeds), dtype=torch.float32, device=seeds.device)

    def draw(self, logits: Tensor, codebook: int, out: Tensor) -> None:
        """Draw a code from each row of logits; see ``Sampler``."""
        self._launch(logits, codebook, out, None, None)

    def draw_and_look_up(
        self, logits: Tensor, codebook: int, out: Tensor, table: Tensor, rows: Tensor
    ) -> None:
        """Draw, and write each code's row of a table to ``rows``, ``[B, hidden]``."""
        self._launch(logits, codebook, out, table, rows)

    def end(self) -> None:
        """Nothing is left to do: the draws say where a logit is no number."""

    def _launch(self, logits: Tensor, codebook: int, out: Tensor, table: Any, rows: Any) -> None:
        sampling = self.sampling
        hidden = 1 if table is None else table.shape[1]
        language.launch(
            draw_kernel,
            (len(logits),),
            logits,
            self._seeds,
            self._frames,
            self._sound,
            self._quiet,
            table,
            out,
            rows,
            sampling.temperature,
            sampling.first_end,
            codebook,
            CODES=self.codes,
            V=language.block(self.codes),
            TOP=min(sampling.top_k, self.codes),
            H=hidden,
            HP=language.block(hidden),
            BITS=BITS[logits.dtype],
            FIRST=codebook == 0,
            GUARD=sampling.guard_end,
            GREEDY=sampling.temperature == 0,
            LOOK_UP=table is not None,
            INTERPRETED=language.INTERPRETED,
            warps=8,
            dependent=self._target.dependent,
            # Each rounding is torch's.
            fusion=False,
        )

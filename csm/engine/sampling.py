"""Drawing codes from logits, and when a segment ends.

All of it is tensor arithmetic without a host in between and without a generator's state, so that it
can be part of a captured graph and gives a segment the same codes in whichever slot it is spoken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from csm.audio import PACE

#: Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): its increment and its mixer's factors, signed.
GOLDEN = -0x61C8864680B583EB
MIX = (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15)


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn and a segment ends; by default as released, with guarded endings.

    A segment ends with a frame whose codes are all 0. The reference draws each of the 32 codes at
    random, so an ending that codebook 0 wants is often missed, and the segment babbles on to its
    cap.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest code each time.
        top_k: how many of the likeliest codes are drawn from; as many more as are exactly as likely
            as the last of them.
        guard_end: when codebook 0 says 0, take the likeliest codes for the rest of that frame
            instead of drawing them. False is the reference's own rule.
        end_zeros: a frame whose codebook 0 is 0 ends the segment when this many of its codes are
            0; all 32 are the reference's own rule.
        first_end: the first frame, counted from 0, that may end a segment; at least 1, as audio
            of no length is no speech. Before it, codebook 0 is never 0.
        seconds_per_character: how long a character of English takes when it is narrated, spaces
            included.
        cap_factor: a segment may take this many times its expected seconds,
        cap_seconds: and this many seconds more. An infinite factor leaves the caller's cap alone.
        most_held: a segment has run away, and is cut, when this many frames in a row equal the one
            before them; 0 lets it. A take that holds a sound or a silence for so long (1.28 s) is
            refused by the judges anyway.
    """

    temperature: float = 0.9
    top_k: int = 50
    guard_end: bool = True
    end_zeros: int = 32
    first_end: int = 4
    seconds_per_character: float = PACE
    cap_factor: float = 1.6
    cap_seconds: float = 1.0
    most_held: int = 15

    def __post_init__(self) -> None:
        if not (
            0 <= self.temperature < math.inf
            and self.top_k >= 1
            and self.end_zeros >= 1
            and self.first_end >= 1
            and 0 < self.seconds_per_character < math.inf
            and self.cap_factor > 0
            and 0 <= self.cap_seconds < math.inf
            and self.most_held >= 0
        ):
            raise ValueError(
                "temperature, cap_seconds and most_held must be 0 or more, top_k, end_zeros and "
                f"first_end 1 or more, seconds_per_character and cap_factor above 0, not {self!r}"
            )

    @classmethod
    def reference(cls) -> Sampling:
        """The rules of Sesame's own generator: no guard, and no cap but the caller's."""
        return cls(guard_end=False, first_end=1, cap_factor=math.inf, most_held=0)

    def expected_seconds(self, text: str, pace: float | None = None) -> float:
        """How long a text takes when it is spoken as it should be.

        Args:
            text: what is said.
            pace: seconds that a character takes in this voice; None is ``seconds_per_character``.
        """
        return len(text) * (pace or self.seconds_per_character)

    def cap(self, text: str, pace: float | None = None) -> float:
        """Seconds after which a segment that has not ended is cut; as ``expected_seconds``."""
        return self.expected_seconds(text, pace) * self.cap_factor + self.cap_seconds

    def __str__(self) -> str:
        return (
            f"t{self.temperature:g}k{self.top_k}e{self.first_end}{'g' if self.guard_end else 'r'}"
            f"z{self.end_zeros}c{self.seconds_per_character:g}x{self.cap_factor:g}"
            f"+{self.cap_seconds:g}h{self.most_held}"
        )


class Sampler:
    """Draws codes for a batch of slots.

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
        self._codebooks = codebooks
        self._end_zeros = min(sampling.end_zeros, codebooks)
        # A hash of each code of each codebook, to be mixed with a hash of segment and frame.
        places = torch.arange(codebooks * codes, device=device)
        self._places = mix_(places.mul_(GOLDEN)).view(codebooks, 1, codes)

    def noise(self, seeds: Tensor, frames: Tensor) -> Tensor | None:
        """Make a frame's noise: a function of seed, frame, codebook and code alone.

        Args:
            seeds: of the segments, int64 ``[B]``.
            frames: their numbers, int64 ``[B]``.

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

    def draw_first(self, logits: Tensor, noise: Tensor | None, frames: Tensor, out: Tensor) -> None:
        """Draw codebook 0, not 0 where a segment must not end yet.

        Args:
            logits: ``[B, codes]``. Overwritten.
            noise: the frame's. Where the draw wants the end and it is guarded, that of the other
                codebooks is silenced.
            frames: number of each slot's frame, int64 ``[B]``.
            out: where to write the codes, int64 ``[B]``.
        """
        logits[:, 0].masked_fill_(frames < self.sampling.first_end, float("-inf"))
        self.draw(logits, noise, 0, out)
        if noise is not None and self.sampling.guard_end:
            noise[1:].mul_((out != 0)[:, None])

    def draw(self, logits: Tensor, noise: Tensor | None, codebook: int, out: Tensor) -> None:
        """Draw a code from each row of logits, ``[B, codes]``, to ``out``, int64 ``[B]``."""
        if noise is None:
            torch.argmax(logits, dim=-1, out=out)
            return
        scores = logits.to(torch.float32, copy=True)
        last = scores.topk(min(self.sampling.top_k, scores.shape[-1]), sorted=False)[0]
        scores.masked_fill_(scores < last.amin(-1, keepdim=True), float("-inf"))
        torch.argmax(scores.add_(noise[codebook]), dim=-1, out=out)

    def ends(self, codes: Tensor) -> Tensor:
        """Where a frame ends its segment: 1 or 0, int64 ``[B]``, of codes ``[codebooks, B]``."""
        zero = codes == 0
        return (zero[0] & (zero.sum(0) >= self._end_zeros)).to(torch.int64)


def mix_(bits: Tensor) -> Tensor:
    """Mix 64-bit integers in place by SplitMix64's finaliser, a bijection."""
    for shift, factor in ((30, MIX[0]), (27, MIX[1])):
        bits.bitwise_xor_((bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(factor)
    return bits.bitwise_xor_((bits >> 31).bitwise_and_((1 << 33) - 1))

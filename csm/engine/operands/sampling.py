"""How codes are drawn and when a segment ends, and the hash that draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


def mix_(bits: Tensor) -> Tensor:
    """Mix 64-bit integers in place by SplitMix64's finaliser, a bijection."""
    for shift, factor in ((30, MIX[0]), (27, MIX[1])):
        bits.bitwise_xor_((bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)).mul_(factor)
    return bits.bitwise_xor_((bits >> 31).bitwise_and_((1 << 33) - 1))

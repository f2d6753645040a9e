"""Drawing one code from a row of logits, and when a segment may end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How codes are drawn; the defaults are the released checkpoint's, with guarded endings.

    A segment ends with a frame whose codes are all 0. The reference draws each of the 32 codes at
    random, so an ending that codebook 0 wants is often missed, and the segment babbles on to its
    cap.

    Attributes:
        temperature: divides the logits; 0 takes the likeliest code each time.
        top_k: how many of the likeliest codes are drawn from.
        guard_end: when codebook 0 says 0, take the likeliest codes for the rest of that frame
            instead of drawing them. False is the reference's own rule.
        first_end: the first frame, counted from 0, that may end a segment; at least 1, as audio
            of no length is no speech.
    """

    temperature: float = 0.9
    top_k: int = 50
    guard_end: bool = True
    first_end: int = 4

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 1 or self.first_end < 1:
            raise ValueError(
                f"temperature must be 0 or more, top_k and first_end 1 or more, not {self}"
            )

    def __str__(self) -> str:
        return (
            f"t{self.temperature:g}k{self.top_k}e{self.first_end}{'g' if self.guard_end else 'r'}"
        )


def draw(
    logits: Tensor, sampling: Sampling, generator: torch.Generator, *, codes: int, first: int = 0
) -> Tensor:
    """Draw a code from each row of logits.

    Args:
        logits: shape ``[batch, vocabulary]``, any float type.
        sampling: temperature and top-k.
        generator: the source of randomness, on the logits' device.
        codes: how many codes the codec has; those from there on are reserved and never drawn.
        first: the first code that may be drawn: 0, or 1 where a segment must not end yet.

    Returns:
        Codes, int64, shape ``[batch]``, within ``first..codes-1``.
    """
    allowed = logits[:, first:codes].float()
    if sampling.temperature == 0:
        return allowed.argmax(-1) + first
    best, places = allowed.topk(min(sampling.top_k, allowed.shape[-1]))
    chances = torch.softmax(best / sampling.temperature, dim=-1)
    # The largest of p / Exp(1) falls on each code with chance p: a draw without the host waiting
    # for the device, as a multinomial draw would.
    race = chances / torch.empty_like(chances).exponential_(generator=generator)
    return places.gather(-1, race.argmax(-1, keepdim=True)).squeeze(-1) + first

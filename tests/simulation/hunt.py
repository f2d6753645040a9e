"""How many seeds it takes until a mutant is found."""

from __future__ import annotations

from tests.simulation import mutants
from tests.simulation.histories import run, simulated
from tests.simulation.world import Told


def seeds_until_found(name: str, most: int, first: int = 0) -> tuple[int, Told] | None:
    """How many histories a mutant survives, the last included, and that one; None for all."""
    with simulated() as seams:
        mutants.ALL[name](seams)
        for seed in range(first, first + most):
            told = run(seed)
            if told.violation is not None:
                return seed - first + 1, told
    return None

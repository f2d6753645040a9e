"""Runs histories, alone or many, and shortens those that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.simulation import program, seams
from tests.simulation.world import Told, World


@contextmanager
def simulated() -> Iterator[seams.Seams]:
    """The program with all its seams replaced."""
    with seams.replaced() as replaced:
        program.install(replaced, seams.modules())
        yield replaced


def run(
    seed: int, allowed: frozenset[str] | None = None, tell: Callable[[str], None] | None = None
) -> Told:
    """One history; within ``simulated``."""
    return World(seed, allowed, tell).run()


def shortened(told: Told) -> Told:
    """The same violation with fewer things that go wrong: each is left out in turn.

    By halves first, then fewer (A. Zeller, "Simplifying and Isolating Failure-Inducing Input",
    IEEE TSE 2002).
    """
    assert told.violation is not None
    best, size = told, max(1, len(told.fired) // 2)
    while size:
        at = 0
        while at < len(best.fired):
            kept = frozenset(best.fired[:at] + best.fired[at + size :])
            other = run(told.seed, kept)
            if other.violation is not None and other.violation.kind == told.violation.kind:
                best = other
            else:
                at += size
        size //= 2
    return best

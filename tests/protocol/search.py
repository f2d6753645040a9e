"""Ways through the worlds of ``model``: at random and exhaustively."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model import Action, Violation, World

#: How often a step is taken where others could be. Each walk leaves some of the rest out and takes
#: some more often, so that walks differ in kind (A. Groce et al., "Swarm Testing", ISSTA 2012).
_STEPS = {"claim": 4, "put": 6, "hold": 6, "work": 6, "go_on": 6, "reap": 6, "unlink": 2}
_OTHERS = (0, 1, 4)


@dataclass(frozen=True)
class Found:
    """A way to a violation."""

    trace: tuple[Action, ...]
    after: tuple[Action, ...]  # what followed by itself once faults had stopped
    violation: str

    def __str__(self) -> str:
        steps = [" ".join(str(part) for part in action) for action in self.trace]
        steps += [f"(drain) {' '.join(str(part) for part in action)}" for action in self.after]
        lines = [f"  {number:2} {step}" for number, step in enumerate(steps, 1)]
        return "\n".join([self.violation, *lines])


def run(start: Callable[[], World], trace: Sequence[Action], *, drain: bool) -> Found | None:
    """Take the actions of a trace that are there to be taken."""
    world, taken = start(), list[Action]()
    try:
        for action in trace:
            if action in world.enabled():
                taken.append(action)
                world.do(action)
    except Violation as violation:
        return Found(tuple(taken), (), str(violation))
    return end(world, tuple(taken)) if drain else None


def end(world: World, trace: tuple[Action, ...]) -> Found | None:
    """Whether all ends well from here, whoever survives."""
    endings = [(number, False) for number in range(len(world.workers))] + [(0, True)]
    for survivor, others_live in endings:
        other = world.copy()
        try:
            other.drain(survivor, others_live=others_live)
        except Violation as violation:
            return Found(trace, other.trail[len(world.trail) :], str(violation))
    return None


def walk(start: Callable[[], World], seed: int, steps: int) -> Found | None:
    """One random walk, and what comes after it."""
    choose = random.Random(seed)
    world, trace = start(), list[Action]()
    taste = dict[str, int](_STEPS)
    try:
        for _ in range(steps):
            actions = world.enabled()
            for name in sorted({action[0] for action in actions} - taste.keys()):
                taste[name] = choose.choice(_OTHERS)
            weights = [taste[action[0]] for action in actions]
            if not any(weights):
                break
            trace.append(choose.choices(actions, weights)[0])
            world.do(trace[-1])
    except Violation as violation:
        return Found(tuple(trace), (), str(violation))
    return end(world, tuple(trace))


def shortened(start: Callable[[], World], found: Found) -> Found:
    """The violation by fewer steps: each is left out in turn while there is one all the same."""
    best = found
    again = True
    while again:
        again = False
        for index in range(len(best.trace)):
            shorter = best.trace[:index] + best.trace[index + 1 :]
            other = run(start, shorter, drain=True)
            if other is not None and len(other.trace) < len(best.trace):
                best, again = other, True
                break
    return best


@dataclass
class Explored:
    """What an exhaustive search went through."""

    worlds: int
    depth: int
    found: Found | None


def explore(
    start: Callable[[], World], *, depth: int, most_worlds: int, drain_every: int
) -> Explored:
    """Every order of actions up to a depth, breadth first: a violation comes by a shortest trace.

    Args:
        start: makes the first world.
        depth: most actions in a trace.
        most_worlds: where the search ends all the same.
        drain_every: every so many worlds it is checked that all ends well from there.
    """
    first = start()
    seen = {first.key()}
    layer: list[tuple[World, tuple[Action, ...]]] = [(first, ())]
    for level in range(1, depth + 1):
        following: list[tuple[World, tuple[Action, ...]]] = []
        for world, trace in layer:
            for action in world.enabled():
                other = world.copy()
                longer = (*trace, action)
                try:
                    other.do(action)
                    name = other.key()
                except Violation as violation:
                    return Explored(len(seen), level, Found(longer, (), str(violation)))
                if name in seen:
                    continue
                seen.add(name)
                lost = end(other, longer) if len(seen) % drain_every == 0 else None
                if lost is not None:
                    return Explored(len(seen), level, lost)
                following.append((other, longer))
                if len(seen) >= most_worlds:
                    return Explored(len(seen), level, None)
        layer = following
    return Explored(len(seen), depth, None)

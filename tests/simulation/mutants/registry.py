"""What mutants are there, by name; each is a bug that somebody could write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from narrator_daemon.firebase import books as shelf
from tests.simulation.seams import Seams

Mutant = Callable[[Seams], None]

#: All of them, by name.
ALL: dict[str, Mutant] = {}


def mutant(break_it: Mutant) -> Mutant:
    """Take one in."""
    ALL[break_it.__name__.replace("_", " ")] = break_it
    return break_it


def said(name: str) -> str:
    """What a mutant does, in a sentence."""
    return (ALL[name].__doc__ or "").split("\n")[0].rstrip(".")


def blind(reference: Any, decide: Callable[[Any], tuple[Any, Any]]) -> Any:
    """A transaction with no condition."""
    with shelf.database_errors():
        value, decision = decide(reference.get())
        if value is not None:
            reference.set(value)
    return decision

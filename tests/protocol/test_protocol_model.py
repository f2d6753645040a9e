"""The protocol holds in small worlds; and each rule is there for a reason the worlds can find."""

from __future__ import annotations

import mutants
import pytest
from model import Action, Limits, Rules, World
from search import Found, explore, run, shortened, walk

STEPS = 50
WORLDS: dict[str, dict[str, int]] = {
    "one worker, one book": {"workers": 1},
    "two workers, one book": {},
    "three workers, two books": {"workers": 3, "count": 2},
    "a book that kills its workers": {"workers": 2, "count": 2, "poison": True},
    "two voices": {"workers": 2, "voices": 2},
    "two voices that a book kills": {"workers": 2, "voices": 2, "poison": True},
}
#: Ways into a world from which every order of the next steps is tried.
BEGINNINGS: dict[str, list[Action]] = {
    "asked for": [],
    "in work": [("claim", 0, "b0"), ("put", 0), ("hold", 0)],
    "about to be published": [
        ("claim", 0, "b0"),
        ("put", 0),
        ("hold", 0),
        ("work", 0, "upload"),
        ("go_on", 0),
    ],
    "judged dead": [
        ("claim", 0, "b0"),
        ("put", 0),
        ("hold", 0),
        ("work", 0, "upload"),
        ("sleep", 0),
        ("lapse",),
        ("reap", 1),
        ("wake", 0),
    ],
}


def world(rules: Rules, worlds: str, *, writes: int = 3, faults: int = 3) -> World:
    return World.start(rules, Limits(writes=writes, faults=faults), **WORLDS[worlds])


@pytest.mark.parametrize("worlds", WORLDS)
def test_no_walk_breaks_the_protocol(worlds: str) -> None:
    for seed in range(400):
        found = walk(lambda: world(Rules(), worlds), seed, STEPS)
        assert found is None, f"seed {seed}: {found}"


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_order_of_the_next_steps_breaks_the_protocol(beginning: str) -> None:
    def start() -> World:
        begun = World.start(Rules(), Limits(writes=1, faults=2, laps=2, upsets=1))
        for action in BEGINNINGS[beginning]:
            begun.do(action)
        return begun

    explored = explore(start, depth=5, most_worlds=2_500, drain_every=25)
    assert explored.found is None, str(explored.found)
    assert explored.worlds > 300


#: In which world a rule is missed; most are in any.
WHERE = {
    mutants.AttemptCountedLate: "a book that kills its workers",
    mutants.AttemptsOfTheSettings: "two voices that a book kills",
    mutants.ChildWrite: "one worker, one book",
    mutants.ReadsAgainAfterLostClaim: "one worker, one book",
}


def find(rules: type[Rules]) -> Found | None:
    def start() -> World:
        return world(rules(), WHERE.get(rules, "two workers, one book"))

    # Few steps in every order, and what follows from each by itself: a shortest trace, if any.
    found = explore(start, depth=4, most_worlds=400, drain_every=1).found
    if found is not None:
        return found
    for seed in range(3_000):
        found = walk(start, seed, STEPS)
        if found is not None:
            return shortened(start, found)
    return None


@pytest.mark.parametrize("rules", mutants.ALL, ids=lambda rules: rules.__name__)
def test_a_missing_rule_is_found(rules: type[Rules]) -> None:
    found = find(rules)
    assert found is not None, f"nothing shows that this is wrong: {rules.__doc__}"
    print(f"{rules.__doc__}\n{found}")  # shown by pytest -rP
    same_way = run(
        lambda: world(rules(), WHERE.get(rules, "two workers, one book")), found.trace, drain=True
    )
    assert same_way == found
    # With the rule in its place, the same steps do no harm.
    kept = run(
        lambda: world(Rules(), WHERE.get(rules, "two workers, one book")), found.trace, drain=True
    )
    assert kept is None

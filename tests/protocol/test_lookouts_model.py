"""Dead claims are found whoever of the two that look dies; and each rule is there for a reason."""

from __future__ import annotations

import pytest

from narrator_daemon.housekeeping.lookouts import Lookouts, Seat
from tests.protocol.fleet import Violation
from tests.protocol.lookouts import Rules, Watching

SEEDS = 60


def test_no_walk_breaks_what_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(SEEDS):
        with monkeypatch.context() as patch:
            try:
                Watching(Rules(), seed, patch).walk()
            except Violation as violation:
                pytest.fail(f"seed {seed}: {violation}")


class TheDeadKeepTheirSeats(Rules):
    """A seat that stands still is taken by nobody, and counts as kept."""

    def is_kept(self, seat: Seat, now: float, _still_seconds: float) -> bool:
        return super().is_kept(seat, now, float("inf"))

    def is_free(self, seat: Seat, now: float, _still_seconds: float) -> bool:
        return super().is_free(seat, now, float("inf"))


class KeepsASeatWithoutReading(Rules):
    """Who holds a seat says so before it has read the leases."""

    def looks(self, lookouts: Lookouts) -> bool:
        seen = super().looks(lookouts)
        lookouts.beat()
        return seen


class EachForItself(Rules):
    """No seat is seen to be kept."""

    def is_kept(self, _seat: Seat, _now: float, _still_seconds: float) -> bool:
        return False


class TakesWhatIsKept(Rules):
    """A seat is free to whoever has none."""

    def is_free(self, _seat: Seat, _now: float, _still_seconds: float) -> bool:
        return True


class NobodyButHolders(Rules):
    """A seat with a name on it is trusted, and only an empty one is taken."""

    def is_kept(self, seat: Seat, _now: float, _still_seconds: float) -> bool:
        return isinstance(seat.value, dict)

    def is_free(self, seat: Seat, _now: float, _still_seconds: float) -> bool:
        return seat.value is None


MUTANTS = Rules.__subclasses__()


@pytest.mark.parametrize("rules", MUTANTS, ids=lambda rules: rules.__name__)
def test_a_missing_rule_is_found(rules: type[Rules], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(SEEDS):
        with monkeypatch.context() as patch:
            try:
                Watching(rules(), seed, patch).walk()
            except Violation:
                return
    pytest.fail(f"nothing shows that this is wrong: {rules.__doc__}")

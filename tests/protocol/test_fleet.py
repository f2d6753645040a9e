"""Limits, renewal and reading hold in small fleets; and each rule is there for a reason."""

from __future__ import annotations

from typing import Any

import pytest

from narrator_daemon.catalogue import URL, URL_EXPIRES_AT
from narrator_daemon.claims.book import Transition, Verdict, renew
from narrator_daemon.housekeeping.turns import Turn, take
from narrator_daemon.queue import requesters
from tests.memory import MemoryStore
from tests.protocol.fleet import Limits, Queue, Renewals, Rules, Violation

SEEDS = 150


def limits(rules: Rules, seed: int, _patch: pytest.MonkeyPatch) -> None:
    Limits(rules).walk(seed)


def renewals(rules: Rules, seed: int, patch: pytest.MonkeyPatch) -> None:
    Renewals(rules, seed, patch).walk()


def queue(rules: Rules, seed: int, patch: pytest.MonkeyPatch) -> None:
    Queue(rules, seed, patch).walk()


@pytest.mark.parametrize("world", [limits, renewals, queue], ids=lambda world: world.__name__)
def test_no_walk_breaks_what_is_promised(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(SEEDS):
        with monkeypatch.context() as patch:
            try:
                world(Rules(), seed, patch)
            except Violation as violation:
                pytest.fail(f"seed {seed}: {violation}")


class GrantsByItsOwnClock(Rules):
    """A replica grants by the clock of its machine."""

    def now_ms(self, right: int, skew: int) -> int:
        return right + skew


class GrantsBlindly(Rules):
    """A grant is written whatever was written in between."""

    conditional = False


class CountsAgain(Rules):
    """A request that was granted is granted anew."""

    def grant(self, granted: object, **known: Any) -> tuple[Any, int]:
        name = known["name"]
        others = {key: at for key, at in (granted or {}).items() if key != name}  # type: ignore[attr-defined]
        return requesters.take(others, **known)


class NeverForgetsGrants(Rules):
    """Grants count for longer than a minute."""

    def grant(self, granted: object, **known: Any) -> tuple[Any, int]:
        kept = dict.fromkeys(granted or (), known["now_ms"])  # type: ignore[attr-defined]
        return requesters.take(kept, **known)


class TurnsForEver(Rules):
    """Who has its turn has it until it says otherwise."""

    def turn(self, seen: object, **known: Any) -> Turn:
        if isinstance(seen, dict) and "until" in seen and seen["owner"] != known["owner"]:
            return Turn(False, wait_ms=1000)
        return take(seen, **known)


class DoneForEver(Rules):
    """What was renewed through once counts as done."""

    def turn(self, seen: object, **known: Any) -> Turn:
        if isinstance(seen, dict) and seen.get("through"):
            return Turn(False, through=seen["through"])
        return take(seen, **known)


class KeepsWhatEndsLater(Rules):
    """A URL that ends later is taken for one that is as good."""

    def renew(self, book: object, **known: Any) -> Transition:
        if isinstance(book, dict) and book.get(URL_EXPIRES_AT, 0) >= known["expires_at"]:
            return Transition(Verdict.UNCHANGED)
        return renew(book, **known)


class GivesAnyNarrationTheUrl(Rules):
    """The URL of one take is given to the book whatever it shows by then."""

    def renew(self, book: object, **known: Any) -> Transition:
        if isinstance(book, dict) and URL in book:
            shown = {URL: known["url"], URL_EXPIRES_AT: known["expires_at"]}
            return Transition(Verdict.APPLIED, {**book, **shown})
        return renew(book, **known)


class BringsBooksBack(Rules):
    """A URL is written though the book was deleted."""

    def renew(self, book: object, **known: Any) -> Transition:
        if book is None:
            shown = {URL: known["url"], URL_EXPIRES_AT: known["expires_at"]}
            return Transition(Verdict.APPLIED, shown)
        return renew(book, **known)


class SignsForAnybody(Rules):
    """Whatever path a book names is signed."""

    def owns(self, store: MemoryStore, path: str, _book_id: str) -> bool:
        return path in store.objects_by_path


class ReadsTheFirstAlone(Rules):
    """Of what waits, only what a query brings is read."""

    reads_all = False


MUTANTS: dict[type[Rules], Any] = {
    GrantsByItsOwnClock: limits,
    GrantsBlindly: limits,
    CountsAgain: limits,
    NeverForgetsGrants: limits,
    TurnsForEver: renewals,
    DoneForEver: renewals,
    KeepsWhatEndsLater: renewals,
    GivesAnyNarrationTheUrl: renewals,
    BringsBooksBack: renewals,
    SignsForAnybody: renewals,
    ReadsTheFirstAlone: queue,
}


@pytest.mark.parametrize("rules", MUTANTS, ids=lambda rules: rules.__name__)
def test_a_missing_rule_is_found(rules: type[Rules], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(SEEDS):
        with monkeypatch.context() as patch:
            try:
                MUTANTS[rules](rules(), seed, patch)
            except Violation:
                return
    pytest.fail(f"nothing shows that this is wrong: {rules.__doc__}")

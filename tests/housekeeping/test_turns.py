"""One replica looks for URLs to renew, for all; where it fails, another does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.claims.signed_url import LONGEST_LIFE_MS
from narrator_daemon.errors import Unavailable
from narrator_daemon.housekeeping import renewal
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.turns import HOLD_MS, end, take
from tests.memory import SERVER_NOW, MemoryProject, MemoryStore, refusal

HOUR_MS = 3_600_000
NEEDED = SERVER_NOW + 10 * HOUR_MS

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["owner", "until", "through", "x"]), inner)
    ),
    max_leaves=6,
)


def turn(seen: object, owner: str = "me", now_ms: int = SERVER_NOW) -> Any:
    return take(seen, owner=owner, now_ms=now_ms, needed=NEEDED)


def test_it_is_taken_where_nobody_has_it_and_kept_by_who_has_it() -> None:
    first = turn(None)
    assert first.mine and first.record["owner"] == "me"
    assert turn(first.record).mine
    other = turn(first.record, "other")
    assert not other.mine and 0 < other.wait_ms <= HOLD_MS


def test_who_dies_holds_it_no_longer_than_a_round() -> None:
    held = turn(None).record
    assert not turn(held, "other", SERVER_NOW + HOLD_MS - 1).mine
    assert turn(held, "other", SERVER_NOW + HOLD_MS).mine


def test_what_was_done_lately_is_left() -> None:
    done = end(turn(None).record, owner="me", through=NEEDED)
    for owner in ("me", "other"):
        assert not turn(done, owner).mine and turn(done, owner).through == NEEDED
        assert turn(end(done, owner="me", through=NEEDED - 1), owner).mine


def test_who_failed_leaves_it_to_others_at_once() -> None:
    failed = end(turn(None).record, owner="me", through=None)
    assert turn(failed, "other").mine


def test_only_who_has_it_ends_it() -> None:
    assert end(turn(None, "other").record, owner="me", through=NEEDED) is None


@given(seen=junk)
def test_whatever_lies_there_keeps_nobody_for_longer_than_it_may(seen: object) -> None:
    late = SERVER_NOW + LONGEST_LIFE_MS + 2 * HOLD_MS
    found = take(seen, owner="me", now_ms=late, needed=late + LONGEST_LIFE_MS + 1)
    assert found.mine or found.wait_ms <= 2 * HOLD_MS
    end(seen, owner="me", through=5)


def test_a_round_that_reached_further_than_any_can_is_not_believed() -> None:
    far = SERVER_NOW + LONGEST_LIFE_MS // 3
    assert not turn({"owner": "x", "through": far}).mine
    assert turn({"owner": "x", "through": far + HOUR_MS}).mine


@settings(max_examples=30)
@given(seen=junk)
def test_whatever_lies_there_all_that_is_due_is_renewed_in_time(seen: object) -> None:
    fleet = Fleet(1, due=3)
    fleet.project.tree["narrationRenewal"] = seen
    (replica,) = fleet.replicas
    for _ in range(8 * 24):
        fleet.later(min(replica.step(), 3600))
    assert replica.renewed >= 3
    assert all(
        book["narrativeAudioUrlExpiresAt"] > fleet.project.now_ms()
        for book in fleet.project.shelf.values()
    )


class Fleet:
    """Replicas on one project."""

    def __init__(self, count: int, due: int = 12) -> None:
        self.project, self.store = MemoryProject(), MemoryStore()
        for number in range(due):
            self.add(f"b{number:02}", SERVER_NOW + number)
        self.signed: list[str] = []
        sign, lock = self.store.sign, threading.Lock()

        def counted(path: str) -> tuple[str, int]:
            with lock:
                self.signed.append(path)
            return sign(path)

        self.store.sign = counted  # type: ignore[method-assign]
        project, store = self.project, self.store
        as_any: Callable[[Any], Any] = lambda one: one  # noqa: E731
        self.steady = 0.0
        self.replicas = [
            Renewer(
                as_any(project),
                as_any(store),
                random_unit=lambda: 0.5,
                owner=f"w{number}",
                steady=lambda: self.steady,
            )
            for number in range(count)
        ]

    def add(self, book_id: str, ends: int, *, there: bool = True) -> None:
        path = self.store.path(book_id, "0" * 32)
        if there:
            self.store.objects_by_path[path] = b"RIFF"
            self.store.owners[path] = book_id
        self.project.shelf[book_id] = {
            "narrative": "text",
            "narrativeAudioPath": path,
            "narrativeAudioUrl": "old",
            "narrativeAudioUrlExpiresAt": ends,
        }

    def later(self, seconds: float) -> None:
        now = self.project.wall() + seconds
        self.project.wall = lambda: now
        self.store._now = lambda: now
        self.steady += seconds


def test_four_that_begin_together_sign_each_url_once() -> None:
    fleet = Fleet(4)
    pauses = [replica.step() for replica in fleet.replicas]
    assert len(fleet.signed) == 12 == len(set(fleet.signed))
    assert pauses == [3600.0] * 4
    # All know how long URLs are safe, whoever saw to it.
    assert len({replica.safe_until for replica in fleet.replicas}) == 1
    assert fleet.project.count("query") == 2


def test_the_next_round_is_anybody_s() -> None:
    fleet = Fleet(2)
    fleet.replicas[0].step()
    for number in (1, 0, 1, 1):
        fleet.later(3600)
        before = fleet.project.count("query")
        fleet.replicas[number].step()
        fleet.replicas[1 - number].step()
        assert 1 <= fleet.project.count("query") - before <= 2


def test_one_that_cannot_sign_does_not_keep_the_others() -> None:
    fleet = Fleet(2)
    fleet.project.fail("write /books/b03$", refusal(401), times=2)
    fleet.replicas[0].step()
    assert fleet.replicas[0].failures == 1
    fleet.replicas[1].step()
    assert fleet.replicas[1].renewed == 1
    fleet.later(3600)
    # Another found what this one had failed with to be done.
    fleet.replicas[0].step()
    assert fleet.replicas[0].safe_until > fleet.project.now_ms()


def test_what_could_not_be_renewed_counts_until_it_is() -> None:
    fleet = Fleet(1, due=3)
    (replica,) = fleet.replicas
    fleet.project.fail("write /books/b01$", refusal(401), times=4)
    replica.step()
    assert (replica.renewed, replica.failures, replica.safe_until) == (2, 1, SERVER_NOW + 1)
    fleet.later(3600)
    replica.step()
    assert (replica.renewed, replica.failures) == (2, 2)
    fleet.later(3600)
    replica.step()
    assert (replica.renewed, replica.failures) == (3, 2)
    assert replica.safe_until == fleet.project.now_ms() + LONGEST_LIFE_MS // 3


def test_one_that_is_out_of_time_goes_on_and_keeps_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewal, "_LONGEST_SECONDS", 0.0)
    fleet = Fleet(2, due=3)
    first, second = fleet.replicas
    assert first.step() == 0.0 and first.renewed == 1
    assert 0 < second.step() <= HOLD_MS / 1000
    while first.step() == 0.0:
        assert second.step() > 0
    assert (first.renewed, second.renewed) == (3, 0)
    assert second.step() == 3600 and second.safe_until == first.safe_until


def test_an_outage_gives_the_turn_back() -> None:
    fleet = Fleet(2)
    fleet.store.fault = Unavailable("storage", "503")
    with pytest.raises(Unavailable):
        fleet.replicas[0].step()
    fleet.store.fault = None
    fleet.replicas[1].step()
    assert fleet.replicas[1].renewed == 12


def test_where_rules_know_no_turns_each_renews_for_itself() -> None:
    fleet = Fleet(2)
    fleet.project.fail("write /narrationRenewal", refusal(401))
    for replica in fleet.replicas:
        assert replica.step() == 3600
    assert fleet.replicas[0].renewed == 12
    assert fleet.project.count("query") >= 3


def test_where_a_clock_is_days_ahead_each_is_signed_once_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewal, "_PAGE", 2)
    fleet = Fleet(1, due=5)
    (replica,) = fleet.replicas
    # What is signed now is due again by this clock.
    replica._clock = lambda: SERVER_NOW + 6 * 24 * HOUR_MS
    assert replica.round() == 5
    assert sorted(fleet.signed) == sorted(set(fleet.signed))


def test_who_has_to_wait_comes_back_when_the_turn_is_over() -> None:
    fleet = Fleet(2, due=0)
    fleet.project.tree["narrationRenewal"] = turn(None, "x").record
    assert fleet.replicas[0].step() == HOLD_MS / 1000
    fleet.later(HOLD_MS / 1000 - 5)
    assert fleet.replicas[0].step() == 5
    fleet.later(5)
    assert fleet.replicas[0].step() == 3600


class TestWhatCannotBeRenewed:
    def read(self, fleet: Fleet) -> int:
        """Books that queries brought in a round."""
        brought = 0
        found = renewal.books.expiring

        def counted(*args: Any, **more: Any) -> Any:
            nonlocal brought
            page = found(*args, **more)
            brought += len(page)
            return page

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(renewal.books, "expiring", counted)
            fleet.replicas[0].round()
        return brought

    @pytest.mark.parametrize("together", [False, True])
    def test_is_read_in_proportion_and_not_with_the_square(
        self, together: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(renewal, "_PAGE", 10)
        brought = {}
        for count in (200, 400, 800):
            fleet = Fleet(1, due=0)
            for number in range(count):
                fleet.add(f"b{number}", 5 if together else 5 + number, there=False)
            brought[count] = self.read(fleet)
            assert brought[count] >= count
        assert all(read <= 2.5 * count for count, read in brought.items()), brought

    def test_is_left_alone_by_the_next_rounds_for_as_long_as_its_size_says(self) -> None:
        fleet = Fleet(1, due=0)
        for number in range(50):
            fleet.add(f"b{number}", 5, there=False)
            fleet.project.shelf[f"b{number}"]["narrative"] = "x" * 200_000
        assert self.read(fleet) == 50
        # 10 MB, at 2 kB a second.
        fleet.later(3600)
        fleet.add("due", fleet.project.now_ms() + 56 * HOUR_MS)
        assert self.read(fleet) <= 2
        assert fleet.replicas[0].renewed == 1
        fleet.later(3 * 3600)
        assert self.read(fleet) >= 50

    def test_what_failed_is_tried_again_without_its_text(self) -> None:
        fleet = Fleet(1, due=0)
        for number in range(50):
            fleet.add(f"b{number}", 5, there=False)
            fleet.project.shelf[f"b{number}"]["narrative"] = "x" * 200_000
        fleet.add("due", SERVER_NOW)
        fleet.project.fail("write /books/due$", refusal(401), times=2)
        self.read(fleet)
        assert fleet.replicas[0].failures == 1
        fleet.later(60)
        assert self.read(fleet) == 0
        assert fleet.replicas[0].renewed == 1
        assert fleet.replicas[0].safe_until == fleet.project.now_ms() + LONGEST_LIFE_MS // 3


@pytest.mark.parametrize(
    ("url", "ends_in", "renewed"),
    [
        ("https://s.example/a?X-Goog-Date=20250620T150640Z&X-Goog-Expires=604800", 12 * 24, True),
        ("https://s.example/a?X-Goog-Date=20250615T150640Z&X-Goog-Expires=604800", 7 * 24, False),
        ("https://s.example/a?X-Goog-Date=yesterday", 7 * 24, False),
        ("https://s.example/a", 30 * 24, True),
        (["no", "text"], 30 * 24, True),
        (None, 24 * 365 * 100, True),
    ],
)
def test_what_no_right_clock_signs_is_replaced(url: Any, ends_in: int, renewed: bool) -> None:
    fleet = Fleet(1, due=0)
    fleet.add("b", SERVER_NOW + ends_in * HOUR_MS)
    fleet.project.shelf["b"]["narrativeAudioUrl"] = url
    assert fleet.replicas[0].round() == int(renewed)
    if renewed:
        ends = fleet.project.shelf["b"]["narrativeAudioUrlExpiresAt"]
        assert ends == SERVER_NOW + LONGEST_LIFE_MS
    assert fleet.replicas[0].round() == 0

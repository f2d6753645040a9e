"""What any replica does for the fleet, over a database and a bucket in memory."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.lease_watch import LeaseWatch
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.refusals import Refusals
from narrator_daemon.errors import NodeRefused, Unavailable
from narrator_daemon.firebase.object_names import beside
from narrator_daemon.housekeeping import reaper as reaping
from narrator_daemon.housekeeping import reconciler as reconciling
from narrator_daemon.housekeeping import renewal
from narrator_daemon.housekeeping import sweep as sweeping
from narrator_daemon.housekeeping.lookouts import SEATS, Lookouts
from narrator_daemon.housekeeping.reaper import Reaper
from narrator_daemon.housekeeping.reconciler import Reconciler
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.housekeeping.sweep import Sweeper
from narrator_daemon.queue.waiting import Waiting
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject, MemoryStore, refusal

TTL = 45.0
HOUR = 3600
REQUESTED = {"narrative": "A", "narrativeAudioStatus": "requested"}


class Fleet:
    """A database that several workers share."""

    def __init__(self) -> None:
        self.project = MemoryProject()
        self.waiting = Waiting()
        self.freed: list[str] = []
        self.now = 0.0
        self.refusals = Refusals(lambda: self.now)
        self.watch = LeaseWatch(TTL, longest_gap=30.0)
        self.leases = self.leases_of("reaper")
        project: Any = self.project
        self.claims = Claims(
            project,
            Settings(),
            "voice",
            lambda book_id, token: self.watch.dead((book_id, token)),
            self.leases,
        )
        self.reaper = Reaper(
            project,
            self.claims,
            self.leases,
            self.watch,
            "reaper",
            self.refusals,
            self.freed.append,
            Lookouts(project, "reaper", 10.0, lambda: reaping.time.monotonic()),
            40.0,
        )

    def leases_of(self, owner: str) -> Leases:
        project: Any = self.project
        return Leases(project, owner, TTL)

    def claim(self, book_id: str) -> str:
        """Let another worker claim a book; the token."""
        project: Any = self.project
        self.project.shelf[book_id] = dict(REQUESTED)
        dead = Settings.model_validate({"daemon": {"worker_id": "dead"}})
        other = Claims(project, dead, "voice", lambda *_: False, self.leases_of("dead"))
        work = other.claim(book_id).work
        assert work is not None
        return work.token

    def take_in(self) -> None:
        self.reaper.take_in(self.project.shelf)

    def rounds(self, monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
        """A round of the reaper at each of these times."""
        for now in times:
            monkeypatch.setattr(reaping.time, "monotonic", lambda now=now: now)
            self.reaper.round()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


class TestReaper:
    def test_a_dead_lease_frees_its_book_and_goes(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = fleet.claim("b")
        fleet.rounds(monkeypatch, 0, 20, 40, 44)
        assert fleet.freed == []
        fleet.rounds(monkeypatch, 45)
        assert fleet.freed == ["b"]
        book = fleet.project.shelf["b"]
        assert book["narrativeAudioStatus"] == "requested"
        claim = book["narrativeAudioClaim"]
        assert "token" not in claim and claim["lastError"]["code"] == "worker_lost"
        assert "narrationLeases" not in fleet.project.tree
        (entry,) = fleet.project.tree["narrationJobs"]["b"].values()
        assert (entry["outcome"], entry["owner"]) == ("worker_lost", "dead")
        assert entry["reapedBy"] == "reaper"
        assert list(fleet.project.tree["narrationJobs"]["b"]) == [token]

    def test_a_lease_that_may_not_be_deleted_holds_no_other_up(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for book_id in ("a", "b", "c"):
            fleet.claim(book_id)
        fleet.project.fail("delete /narrationLeases/a", refusal(401, "Permission denied"))
        fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert fleet.freed == ["a", "b", "c"]
        assert list(fleet.project.tree["narrationLeases"]) == ["a"]

    def test_one_that_is_refused_is_left_alone_and_holds_no_other_up(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for book_id in ("a", "b", "c", "d"):
            fleet.claim(book_id)
        del fleet.project.tree["narrationLeases"]["d"]
        fleet.take_in()
        fleet.project.fail(r"write /books/[ad]$", refusal(401, "Permission denied"))
        fleet.rounds(monkeypatch, 0, 20, 40, 60, 70)
        assert fleet.freed == ["b", "c"]
        assert list(fleet.project.tree["narrationLeases"]) == ["a"]
        assert sorted(fleet.refusals.books) == ["a", "d"]
        assert fleet.project.count("write /books/a$") == 3  # its claim, and one try to free it
        fleet.project.mend()
        fleet.now = 10.0
        fleet.rounds(monkeypatch, 80)
        assert fleet.freed[2:] == ["a", "d"]
        assert not fleet.refusals.books

    def test_a_lease_lives_as_long_as_its_owner_promised(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = {book_id: fleet.claim(book_id) for book_id in ("long", "short", "odd")}
        for book_id, ttl in {"long": 100, "short": 15, "odd": -1}.items():
            fleet.project.tree["narrationLeases"][book_id][tokens[book_id]]["ttl"] = ttl
        freed = {}
        for now in range(0, 121, 10):
            fleet.rounds(monkeypatch, now)
            freed |= {book_id: now for book_id in fleet.freed if book_id not in freed}
        assert freed == {"short": 20, "odd": 50, "long": 100}

    def test_a_lease_that_may_have_beaten_unseen_is_not_judged(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        fleet.rounds(monkeypatch, 0, 20, 100, 120, 140)
        assert fleet.freed == []
        fleet.rounds(monkeypatch, 145)
        assert fleet.freed == ["b"]

    def test_a_lease_that_beats_is_left_alone(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = fleet.claim("b")
        fleet.take_in()
        for number, now in enumerate(range(0, 200, 20)):
            fleet.project.tree["narrationLeases"]["b"][token]["beat"] = number
            fleet.rounds(monkeypatch, now)
        assert fleet.freed == []

    def test_a_lease_whose_book_moved_on_goes_and_frees_nothing(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        fleet.project.shelf["b"] = {"narrativeAudioStatus": "ready"}
        fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert fleet.freed == []
        assert fleet.project.shelf["b"] == {"narrativeAudioStatus": "ready"}
        assert "narrationLeases" not in fleet.project.tree
        assert "narrationJobs" not in fleet.project.tree

    def test_what_was_left_to_wait_by_one_that_died_just_then_is_watched_until_it_is_over(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for book_id in ("taken up", "cancelled"):
            fleet.claim(book_id)
        for book in fleet.project.shelf.values():
            book["narrativeAudioStatus"] = "requested"
            del book["narrativeAudioClaim"]["token"]
        fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert [*fleet.project.tree["narrationLeases"]] == ["taken up", "cancelled"]
        del fleet.project.shelf["cancelled"]["narrativeAudioStatus"]
        fleet.project.shelf["taken up"]["narrativeAudioClaim"]["token"] = "next"
        fleet.rounds(monkeypatch, 80)
        assert "narrationLeases" not in fleet.project.tree
        assert fleet.project.shelf["cancelled"] == {"narrative": "A"}
        assert fleet.project.shelf["taken up"]["narrativeAudioClaim"]["token"] == "next"
        assert "narrationJobs" not in fleet.project.tree

    def test_a_claim_without_a_lease_is_dead_a_ttl_from_first_sight(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        del fleet.project.tree["narrationLeases"]
        fleet.take_in()
        fleet.rounds(monkeypatch, 0, 20, 40)
        assert fleet.freed == []
        fleet.rounds(monkeypatch, 60)
        assert fleet.freed == ["b"]

    @pytest.mark.parametrize("claim", [None, "junk", {"token": 5}, [1]])
    def test_a_book_in_work_that_nobody_claims_is_freed(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, claim: Any
    ) -> None:
        fleet.project.shelf["a text"] = "no record"
        fleet.project.shelf["b"] = {
            **REQUESTED,
            "narrativeAudioStatus": "processing",
            "narrativeAudioClaim": claim,
        }
        fleet.project.shelf["waiting"] = {**REQUESTED, "narrativeAudioClaim": "junk"}
        fleet.take_in()
        fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert fleet.freed == ["b"]
        assert fleet.project.shelf["b"] == REQUESTED
        assert "narrationJobs" not in fleet.project.tree

    def test_one_that_cannot_be_freed_now_keeps_its_lease_and_holds_no_other_up(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for book_id in ("a", "b", "c"):
            fleet.claim(book_id)
        touched = iter(range(1000))

        def touch() -> None:
            fleet.project.shelf["a"]["touched"] = next(touched)

        fleet.project.at_each("write /books/a$", touch)
        fleet.project.fail("read /books/b$", ValueError("malformed"))
        with structlog.testing.capture_logs():
            fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert fleet.freed == ["c"]
        assert list(fleet.project.tree["narrationLeases"]) == ["a", "b"]
        fleet.project.mend()
        fleet.rounds(monkeypatch, 70)
        assert sorted(fleet.freed) == ["a", "b", "c"]

    def test_an_outage_ends_the_round(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        fleet.claim("a")
        fleet.rounds(monkeypatch, 0, 20, 40)
        fleet.project.fail("read /books", refusal(503))
        with pytest.raises(Unavailable):
            fleet.rounds(monkeypatch, 60)
        assert fleet.freed == []

    def test_a_round_ends_in_time_however_many_are_dead(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(10):
            fleet.claim(f"b{number}")
        fleet.rounds(monkeypatch, 0, 20, 40)
        ticks = iter(range(48, 1000, 4))
        monkeypatch.setattr(reaping.time, "monotonic", lambda: next(ticks))
        fleet.reaper.round()
        assert 1 <= len(fleet.freed) <= 4

    def test_all_in_work_is_read_as_often_as_its_size_allows(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = fleet.claim("b")
        fleet.project.shelf["b"]["narrative"] = "A" * 200_000
        read = []
        for now in range(0, 430, 10):
            fleet.project.tree["narrationLeases"]["b"][token]["beat"] = now
            if now == 210:
                fleet.project.shelf["b"]["narrative"] = "A" * 1_000
            before = fleet.project.count("query")
            fleet.rounds(monkeypatch, now)
            if fleet.project.count("query") > before:
                read.append(now)
        # 200 kB at 2 kB a second; a little, each 40 seconds.
        assert read == [0, 110, 220, 260, 300, 340, 380, 420]
        assert fleet.freed == []

    def test_what_had_a_lease_is_not_read_once_it_has_ended(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        fleet.project.shelf["b"]["narrative"] = "A" * 1_000_000
        fleet.rounds(monkeypatch, 0)
        fleet.project.shelf["b"] = {"narrativeAudioStatus": "ready"}
        del fleet.project.tree["narrationLeases"]
        fleet.rounds(monkeypatch, *range(10, 100, 10))
        assert fleet.project.count("read /books/b") == 1  # that of its claim

    def test_what_ended_before_its_lease_was_seen_is_read_once(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        fleet.project.shelf["b"]["narrative"] = "A" * 1_000_000
        del fleet.project.tree["narrationLeases"]
        fleet.rounds(monkeypatch, 0)
        fleet.project.shelf["b"] = {"narrativeAudioStatus": "ready"}
        fleet.rounds(monkeypatch, *range(10, 120, 10))
        assert fleet.project.count("read /books/b") == 2

    def test_while_two_others_look_nothing_of_the_books_is_read(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        del fleet.project.tree["narrationLeases"]
        for beat in range(20):
            fleet.project.tree["narrationLookouts"] = {
                name: {"owner": "o", "instance": name, "beat": beat} for name in SEATS
            }
            fleet.rounds(monkeypatch, 10.0 * beat)
        # Whether others live is not known at the first look.
        assert fleet.project.count("get /narrationLeases") == 1
        assert fleet.project.count("query") == 0
        assert fleet.freed == []
        # They die, and are replaced.
        fleet.rounds(monkeypatch, *(190.0 + 10 * beat for beat in range(1, 9)))
        assert fleet.freed == ["b"]


class TestReconciler:
    def reconciler(self, fleet: Fleet, read: list[int] | None = None) -> Reconciler:
        project: Any = fleet.project
        told = [] if read is None else read
        return Reconciler(
            project, fleet.waiting, fleet.reaper, 40.0, lambda: told.append(1), lambda: 0.5
        )

    def fill(self, fleet: Fleet, count: int) -> None:
        fleet.project.shelf.update({f"b{number:03}": dict(REQUESTED) for number in range(count)})

    def test_what_waits_is_known_and_whoever_wants_to_know_is_told(self, fleet: Fleet) -> None:
        self.fill(fleet, 3)
        read: list[int] = []
        reconciler = self.reconciler(fleet, read)
        assert reconciler.read_at is None
        assert reconciler.round() == 40
        assert len(fleet.waiting) == 3
        assert read == [1] and reconciler.read_at is not None

    @pytest.mark.parametrize("unit", [0.0, 1.0])
    def test_rounds_vary_by_a_quarter(self, fleet: Fleet, unit: float) -> None:
        project: Any = fleet.project
        reconciler = Reconciler(
            project, fleet.waiting, fleet.reaper, 40.0, lambda: None, lambda: unit
        )
        assert reconciler.round() == 30 + 20 * unit

    @pytest.mark.parametrize(("count", "forgotten"), [(99, True), (100, False), (150, False)])
    def test_only_a_reading_of_all_makes_forget_the_rest(
        self, fleet: Fleet, count: int, forgotten: bool
    ) -> None:
        self.fill(fleet, count)
        fleet.waiting.offer("z", REQUESTED, 0)
        self.reconciler(fleet).round()
        assert len(fleet.waiting) == min(count, 100) + (not forgotten)

    def test_behind_a_whole_window_all_that_wait_are_known(self, fleet: Fleet) -> None:
        self.fill(fleet, 2_500)
        fleet.project.shelf["zz"] = {**REQUESTED, "narrativeAudioRequestedAt": 5}
        reconciler = self.reconciler(fleet)
        assert reconciler.round() == 0.0 and len(fleet.waiting) == 100
        assert 5 <= reconciler.round() <= 6
        assert len(fleet.waiting) == 2_501
        first = fleet.waiting.take(0.0)
        assert first is not None and first.book_id == "zz"

    def test_the_depth_of_a_long_queue_follows_what_others_take(self, fleet: Fleet) -> None:
        self.fill(fleet, 2_000)
        reconciler, now = self.reconciler(fleet), [0.0]
        reconciler._clock = lambda: now[0]
        depths = []
        for left in (2_000, 2_000, 1_300, 60):
            for book_id in sorted(fleet.project.shelf)[left:]:
                del fleet.project.shelf[book_id]
            now[0] += reconciler.round() + 0.01
            depths.append(len(fleet.waiting))
        assert depths == [100, 2_000, 1_300, 60]

    def test_reading_all_is_bounded_by_what_it_costs(self, fleet: Fleet) -> None:
        self.fill(fleet, 1_000)
        for book in fleet.project.shelf.values():
            book["narrative"] = "A" * 8_400
        reconciler, now = self.reconciler(fleet), [0.0]
        reconciler._clock = lambda: now[0]
        read, whole = 0, 0
        while now[0] < 300:
            before = len(fleet.project.calls)
            fleet.waiting.forget(list(fleet.project.shelf))
            pause = reconciler.round()
            whole += len(fleet.waiting) == 1_000
            read += len(fleet.waiting) * 8_500
            assert len(fleet.project.calls) == before + 1
            now[0] += max(pause, 0.01)
        assert whole >= 8
        assert read / 300 < 350_000

    def test_of_more_than_can_be_read_at_once_both_ends_are_seen(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reconciling, "MOST", 200)
        self.fill(fleet, 390)
        reconciler, now = self.reconciler(fleet), [0.0]
        reconciler._clock = lambda: now[0]
        seen = []
        for _ in range(3):
            now[0] += reconciler.round() + 0.01
            seen.append(len(fleet.waiting))
        assert seen == [100, 200, 390]

    def test_claims_in_books_go_to_the_reaper(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.claim("b")
        del fleet.project.tree["narrationLeases"]
        self.reconciler(fleet).round()
        fleet.rounds(monkeypatch, 0, 20, 40, 60)
        assert fleet.freed == ["b"]


class TestRenewer:
    def world(self, **books: Any) -> tuple[MemoryProject, MemoryStore, Renewer]:
        project, store = MemoryProject(), MemoryStore()
        for book_id, expires in books.items():
            path = store.path(book_id, "0" * 32)
            store.objects_by_path[path] = b"RIFF"
            store.owners[path] = book_id
            project.shelf[book_id] = {
                "narrativeAudioPath": path,
                "narrativeAudioUrl": "old",
                "narrativeAudioUrlExpiresAt": expires,
            }
        shelf: Any = project
        bucket: Any = store
        return project, store, Renewer(shelf, bucket, lambda: SERVER_NOW, lambda: 0.5)

    def third(self, store: MemoryStore) -> int:
        return int(store.signed_seconds * 1000) // 3

    def test_the_last_third_of_a_life_is_when_it_is_renewed(self) -> None:
        store = MemoryStore()
        due = SERVER_NOW + self.third(store)
        project, store, renewer = self.world(due=due, later=due + 1, dead=1)
        assert renewer.round() == 2
        assert renewer.renewed == 2 and not renewer.behind
        assert project.shelf["later"]["narrativeAudioUrl"] == "old"
        book = project.shelf["due"]
        assert book["narrativeAudioUrlExpiresAt"] == SERVER_NOW + 3 * self.third(store)
        assert book["narrativeAudioUrl"].endswith(str(book["narrativeAudioUrlExpiresAt"]))
        assert renewer.round() == 0

    def test_everything_is_all_that_can_expire(self) -> None:
        store = MemoryStore()
        fresh = SERVER_NOW + 3 * self.third(store)
        _, _, renewer = self.world(a=1, b=fresh - 1, signed_now=fresh)
        assert renewer.round(everything=True) == 2

    def test_the_pause_is_a_tenth_of_the_third(self) -> None:
        _, store, renewer = self.world()
        assert renewer.step() == 3600
        store.signed_seconds = 300.0
        assert renewer.step() == 10
        store.signed_seconds = 3.0
        assert renewer.step() == 1

    @pytest.mark.parametrize("path", ["", "narrations/other/" + "0" * 32 + ".wav", ["x"], 5, None])
    def test_one_that_is_not_its_own_does_not_keep_the_others(self, path: Any) -> None:
        project, _, renewer = self.world(good=1, odd=2, last=3)
        project.shelf["odd"]["narrativeAudioPath"] = path
        assert renewer.round() == 2
        assert project.shelf["odd"]["narrativeAudioUrl"] == "old"

    def test_what_lies_beside_a_wav_is_renewed_with_it(self) -> None:
        project, _, renewer = self.world(a=1)
        book, stem = project.shelf["a"], f"narrations/a/{'0' * 32}"
        files = {
            "m4a": {"url": "old", "urlExpiresAt": 1, "bytes": 5, "path": f"{stem}.m4a"},
            # What a client may have written where no rule keeps it: somebody else's, and junk.
            "mp3": {"url": "old", "urlExpiresAt": 1, "path": "private/other.mp3"},
            "opus": {"url": "old", "urlExpiresAt": 1, "path": f"{stem}.mp3"},
            "odd": "junk",
            "list": [1],
        }
        book["narrativeAudioFiles"] = dict(files)
        assert renewer.round() == 1
        book = project.shelf["a"]
        expires = book["narrativeAudioUrlExpiresAt"]
        renewed = book["narrativeAudioFiles"].pop("m4a")
        assert renewed == {
            "url": f"https://storage.example/{stem}.m4a?expires={expires}",
            "urlExpiresAt": expires,
            "bytes": 5,
            "path": f"{stem}.m4a",
        }
        assert book["narrativeAudioFiles"] == {n: f for n, f in files.items() if n != "m4a"}

    def test_a_take_that_comes_meanwhile_keeps_its_own_files(self) -> None:
        project, _, renewer = self.world(a=1)
        stem = f"narrations/a/{'0' * 32}"
        file = {"url": "old", "urlExpiresAt": 1, "bytes": 5, "path": f"{stem}.m4a"}
        project.shelf["a"]["narrativeAudioFiles"] = {"m4a": file}
        new = {"narrativeAudioPath": "new.wav", "narrativeAudioFiles": {"m4a": {"path": "new.m4a"}}}
        project.at_each("read /books/a$", lambda: project.shelf.update(a=dict(new)))
        assert renewer.round() == 0
        assert project.shelf["a"] == new

    def test_a_fault_with_one_does_not_keep_the_others(self) -> None:
        project, _, renewer = self.world(a=1, b=2, c=3)
        project.fail("read /books/b$", ValueError("malformed"))
        with structlog.testing.capture_logs() as logged:
            assert renewer.round() == 2
        assert [event["book"] for event in logged if event["event"] == "item_failed"] == ["b"]
        assert not renewer.behind

    def test_many_are_renewed_page_by_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(renewal, "_PAGE", 3)
        books = {f"b{number}": number + 1 for number in range(10)}
        project, _, renewer = self.world(**books)
        project.shelf["b4"]["narrativeAudioPath"] = ""
        assert renewer.round() == 9

    def test_one_that_is_out_of_time_goes_on_at_once(self) -> None:
        _, _, renewer = self.world(a=1, b=2)
        assert renewer.round(seconds=0.0) == 1
        assert renewer.behind
        assert renewer.step() > 0
        assert renewer.renewed == 2

    def test_an_outage_leaves_the_rest_for_the_next_round(self) -> None:
        _, store, renewer = self.world(a=1)
        store.fault = Unavailable("storage", "503")
        with pytest.raises(Unavailable):
            renewer.round()
        assert renewer.behind
        store.fault = None
        assert renewer.round() == 1


class TestSweeper:
    NOW = SERVER_NOW / 1000

    def world(self) -> tuple[MemoryProject, MemoryStore, Sweeper]:
        project, store = MemoryProject(), MemoryStore()
        shelf: Any = project
        bucket: Any = store
        return project, store, Sweeper(shelf, bucket, clock=lambda: self.NOW)

    def put(
        self,
        store: MemoryStore,
        book_id: str,
        number: int = 0,
        age: float = 2 * HOUR,
        ending: str = "wav",
    ) -> str:
        path = beside(store.path(book_id, f"{number:032x}"), ending)
        store.objects_by_path[path] = b"RIFF"
        store.owners[path] = book_id
        store.created_at[path] = self.NOW - age
        return path

    def test_what_nobody_names_goes(self) -> None:
        project, store, sweeper = self.world()
        gone, old = self.put(store, "gone"), self.put(store, "taken", 1)
        named = self.put(store, "taken", 2)
        project.shelf["taken"] = {"narrativeAudioPath": named}
        assert sweeper.round() == 2
        assert list(store.objects_by_path) == [named]
        assert gone != old

    def test_what_lies_beside_a_wav_stays_while_it_is_named(self) -> None:
        project, store, sweeper = self.world()
        wav, m4a, mp3 = (self.put(store, "b", 7, ending=ending) for ending in ("wav", "m4a", "mp3"))
        preview = self.put(store, "b", 7, ending="preview.m4a")
        older = self.put(store, "b", 6, ending="m4a")
        project.shelf["b"] = {
            "narrativeAudioPath": wav,
            "narrativeAudioFiles": {"m4a": {"path": m4a}, "odd": {"path": 5}, "junk": mp3},
            "narrativeAudioPreview": {"path": preview},
        }
        assert sweeper.round() == 3
        assert sorted(store.objects_by_path) == sorted([wav, m4a])
        assert older not in store.objects_by_path
        del project.shelf["b"]
        assert sweeper.round() == 2

    def test_what_lies_beside_the_wav_of_a_claim_stays(self) -> None:
        project, store, sweeper = self.world()
        for ending in ("wav", "m4a", "preview.m4a"):
            self.put(store, "b", 7, ending=ending)
        claim = {"token": f"{7:032x}", "owner": "w", "attempt": 1, "inputHash": "h", "take": 1}
        project.shelf["b"] = {"narrativeAudioClaim": claim}
        assert sweeper.round() == 0

    @pytest.mark.parametrize(("age", "goes"), [(HOUR, 1), (HOUR - 1, 0)])
    def test_what_is_young_stays(self, age: float, goes: int) -> None:
        _, store, sweeper = self.world()
        self.put(store, "gone", age=age)
        assert sweeper.round() == goes

    def test_what_a_claim_was_made_for_stays(self) -> None:
        project, store, sweeper = self.world()
        self.put(store, "b", 7)
        claim = {"token": f"{7:032x}", "owner": "w", "attempt": 1, "inputHash": "h", "take": 1}
        project.shelf["b"] = {"narrativeAudioClaim": claim}
        assert sweeper.round() == 0
        project.shelf["b"]["narrativeAudioClaim"]["token"] = f"{8:032x}"
        assert sweeper.round() == 1

    def test_what_is_not_ours_stays_and_a_probe_goes(self) -> None:
        _, store, sweeper = self.world()
        other, odd = self.put(store, "gone"), self.put(store, "gone", 1)
        store.is_ours = lambda stored: stored.path != other  # type: ignore[method-assign]
        store.token = lambda path, _: None if path == odd else "t"  # type: ignore[method-assign]
        probe = f"narrations/probe-{0:032x}"
        store.objects_by_path[probe], store.owners[probe] = b"", "nobody"
        store.created_at[probe] = self.NOW - 2 * HOUR
        assert sweeper.round() == 1
        assert sorted(store.objects_by_path) == sorted([other, odd])

    def test_where_nothing_may_be_deleted_a_few_are_tried(self) -> None:
        _, store, sweeper = self.world()
        for number in range(6):
            self.put(store, f"gone{number}")
        tried: list[str] = []

        def refuse(path: str, generation: int | None = None) -> None:
            tried.append(path)
            raise NodeRefused("storage", "no")

        store.delete = refuse  # type: ignore[method-assign]
        with structlog.testing.capture_logs():
            assert sweeper.round() == 0
        assert len(tried) == 3

    def test_what_is_published_between_two_reads_stays(self) -> None:
        project, store, sweeper = self.world()
        path = self.put(store, "b", 7)

        def publish() -> None:
            project.shelf["b"] = {"narrativeAudioPath": path}

        project.shelf["b"] = {"title": "t"}
        project.at_each("get /books/b/narrativeAudioClaim", publish)
        assert sweeper.round() == 0
        assert list(store.objects_by_path) == [path]

    def test_a_fault_with_one_does_not_keep_the_others(self) -> None:
        project, store, sweeper = self.world()
        for book_id in ("a", "b", "c"):
            self.put(store, book_id)
        project.fail("get /books/b/", ValueError("malformed"))
        with structlog.testing.capture_logs():
            assert sweeper.round() == 2
        assert [store.owners[path] for path in store.objects_by_path] == ["b"]

    def test_a_sweep_goes_on_where_the_last_one_ended(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweeping, "MOST_OBJECTS", 2)
        project, store, sweeper = self.world()
        for number in range(5):
            path = self.put(store, f"b{number}")
            project.shelf[f"b{number}"] = {"narrativeAudioPath": path}
        sweeper.round()
        sweeper.round()
        del project.shelf["b0"], project.shelf["b4"]
        # The third looks at the last one, and the fourth begins anew.
        assert [sweeper.round(), sweeper.round()] == [1, 1]

    def test_workers_and_limits_of_yesterday_are_forgotten(self) -> None:
        project, _, sweeper = self.world()
        day = 24 * HOUR * 1000
        project.tree["narrationWorkers"] = {
            "here": {"at": SERVER_NOW - day},
            "gone": {"at": SERVER_NOW - day - 1},
            "odd": {"at": "x"},
            "junk": 5,
        }
        project.tree["narrationLimits"] = {
            "busy": {"r1": 1, "r2": SERVER_NOW},
            "quiet": {"r1": SERVER_NOW - day - 1},
            "junk": True,
        }
        sweeper.round()
        assert list(project.tree["narrationWorkers"]) == ["here"]
        assert list(project.tree["narrationLimits"]) == ["busy"]

    def test_not_before_the_whole_bucket_was_looked_at(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, store, sweeper = self.world()
        ticks = iter(range(0, 10_000, 61))
        monkeypatch.setattr(
            "narrator_daemon.housekeeping.sweep.time.monotonic", lambda: next(ticks)
        )
        self.put(store, "a")
        self.put(store, "b")
        assert sweeper.round() == 1
        assert len(store.objects_by_path) == 1

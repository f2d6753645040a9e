"""Two settings run side by side, and workers of the old one go one after the other.

Whatever order things happen in: nothing is lost, nothing is published twice, and the attempts of a
request are counted as if all were one version.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.failure import ErrorCode, Failure
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import MAX_GIVE_BACKS, GiveBack, Publication, Retry
from narrator_daemon.claims.work import Work
from narrator_daemon.settings import Settings
from tests.memory import SERVER_NOW, MemoryProject

OLD, NEW = "version 1, voice anna", "version 2, voice bea"
BOOKS = ("a", "b")
MOST = 5
WRONG = Failure(ErrorCode.ENGINE_ERROR, "It failed.")


class RollingUpgrade(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.project = MemoryProject(
            {
                name: {
                    "narrative": f"Text {name}.",
                    "narrativeAudioStatus": "requested",
                    "narrativeAudioRequestedAt": 7,
                }
                for name in BOOKS
            }
        )
        self.dead: set[str] = set()
        self.work: list[tuple[str, Work]] = []
        self.zombies: list[tuple[str, Work]] = []
        # Of each book: attempts that counted, free give-backs, and objects that were shown.
        self.attempts = dict.fromkeys(BOOKS, 0)
        self.given_back = dict.fromkeys(BOOKS, 0)
        self.shown: dict[str, list[str]] = {name: [] for name in BOOKS}
        self.workers: dict[str, Claims] = {}

    def _worker(self, name: str, fingerprint: str) -> Claims:
        project: Any = self.project
        with_id = Settings.model_validate({"daemon": {"worker_id": name}})
        return Claims(
            project,
            with_id,
            fingerprint,
            lambda _book, token: token in self.dead,
            Leases(project, name, 45.0),
        )

    @initialize()
    def start(self) -> None:
        self.workers = {f"old{n}": self._worker(f"old{n}", OLD) for n in range(2)}

    @precondition(lambda self: any(name.startswith("old") for name in self.workers))
    @rule()
    def upgrade_one(self) -> None:
        """A worker is told to stop, gives back what it has, and another version takes its place."""
        name = next(name for name in self.workers if name.startswith("old"))
        for one, work in [item for item in self.work if item[0] == name]:
            self._settle(one, work, GiveBack(shutdown=True))
        del self.workers[name]
        new = name.replace("old", "new")
        self.workers[new] = self._worker(new, NEW)

    @rule(data=st.data(), book=st.sampled_from(BOOKS))
    def claim(self, data: Any, book: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.workers)))
        work = self.workers[name].claim(book).work
        if work is None:
            return
        self.attempts[book] += 1
        assert work.claim.attempt == self.attempts[book], "attempts are not those of one version"
        self.work.append((name, work))

    def _take(self, data: Any) -> tuple[str, Work]:
        return self.work[data.draw(st.integers(0, len(self.work) - 1))]

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def publish(self, data: Any) -> None:
        name, work = self._take(data)
        path = f"narrations/{work.book_id}/{work.token}.wav"
        self._settle(name, work, Publication("https://x", None, 1.0, path, "0" * 64))

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        name, work = self._take(data)
        self._settle(name, work, Retry(WRONG, SERVER_NOW, MOST))

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def die(self, data: Any) -> None:
        """A worker is killed; another reaps. What it still sends later must change nothing."""
        name, work = self._take(data)
        self.work.remove((name, work))
        self.zombies.append((name, work))
        self.dead.add(work.token)
        any_worker = next(iter(self.workers.values()))
        any_worker.reap(work.book_id, work.token)

    @precondition(lambda self: self.zombies)
    @rule(data=st.data())
    def come_back(self, data: Any) -> None:
        name, work = self.zombies.pop(data.draw(st.integers(0, len(self.zombies) - 1)))
        claims = self.workers.get(name) or self._worker(name, OLD)
        before = dict(self.project.shelf[work.book_id])
        claims.settle(work, Publication("https://y", None, 1.0, "narrations/late.wav", "0" * 64))
        assert self.project.shelf[work.book_id] == before

    def _settle(self, name: str, work: Work, outcome: Any) -> None:
        self.work.remove((name, work))
        seen = self.workers[name].settle(work, outcome)
        assert not seen.lost_work
        book = work.book_id
        if isinstance(outcome, GiveBack) and self.given_back[book] < MAX_GIVE_BACKS:
            self.given_back[book] += 1
            self.attempts[book] -= 1
        if isinstance(outcome, Publication):
            self.shown[book].append(outcome.path)

    @invariant()
    def nothing_is_lost_and_nothing_published_twice(self) -> None:
        in_work = {work.book_id for _, work in self.work}
        assert len(in_work) == len(self.work)
        for name, book in self.project.shelf.items():
            status = book["narrativeAudioStatus"]
            assert len(self.shown[name]) == (status == "ready")
            assert (status == "processing") is (name in in_work)
            assert self.attempts[name] <= MOST
            if status == "failed":
                assert book["narrativeAudioError"]["attempts"] == MOST
            assert status in ("requested", "processing", "ready", "failed")


RollingUpgrade.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestRollingUpgrade = RollingUpgrade.TestCase

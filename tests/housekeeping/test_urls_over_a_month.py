"""A month of signed URLs by a compressed clock: at no moment does one that is shown not play."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.cloud.storage import _signing

from narrator_daemon import config
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from narrator_daemon.housekeeping import renewal
from narrator_daemon.housekeeping.renewal import Renewer
from tests.actors import Frontend

DAY = 86_400.0
START = 1_750_000_000.0
#: When the second replica is stopped for good, in seconds after the start.
SECOND_STOPS = 10 * DAY


@dataclass
class World:
    """Books with narrations, two replicas that renew, and a clock that jumps from look to look."""

    frontend: Frontend
    project: Project
    store: AudioStore
    renewers: list[Renewer]
    now: float = START
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    takes: int = 0

    def narrate(self, book_id: str, **fields: object) -> None:
        """What publishing does: a new object, its URL, and all fields at once."""
        self.takes += 1
        path = self.store.path(book_id, f"{self.takes:032x}")
        stored = self.store.upload(path, io.BytesIO(b"RIFF"), 4, book_id=book_id)
        audio = {
            "narrativeAudioStatus": "ready",
            "narrativeAudioPath": stored.path,
            "narrativeAudioUrl": stored.url,
            "narrativeAudioUrlExpiresAt": stored.url_expires_at,
        }
        self.frontend.node("books", book_id).update({**audio, **fields})
        self.look()

    def look(self) -> None:
        self.shown = self.frontend.node("books").get() or {}

    def check_all_play(self) -> None:
        """Every URL that is shown is alive by what is signed into it."""
        for book_id, record in self.shown.items():
            url = record.get("narrativeAudioUrl")
            if url is None or book_id == "thief":
                continue
            query = parse_qs(urlsplit(url).query)
            signed_at = datetime.strptime(query["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ")
            life = int(query["X-Goog-Expires"][0])
            expires = signed_at.replace(tzinfo=UTC).timestamp() + life
            assert expires > self.now, f"the URL of {book_id} died {self.now - expires:.0f} s ago"
            # What is shown beside it promises no more than what is signed.
            assert record["narrativeAudioUrlExpiresAt"] / 1000 < expires + 1
            assert record["narrativeAudioPath"].rpartition("/")[2] in urlsplit(url).path

    def live_through(self, seconds: float, acts: dict[float, Any], seed: int) -> dict[str, int]:
        """Let time pass; gives how often each replica renewed and how many rounds there were.

        Args:
            seconds: how long.
            acts: what the frontend does, by the second after the start.
            seed: of the pauses between rounds.
        """
        chance = random.Random(seed)
        due = dict.fromkeys(range(len(self.renewers)), self.now)
        counts = {"rounds": 0, "renewed": 0}
        ends = self.now + seconds
        left = {self.now + at: act for at, act in acts.items()}
        while True:
            number = min(due, key=lambda one: due[one])
            for at in sorted(at for at in left if at <= due[number]):
                self.now = at
                left.pop(at)()
                self.look()
            if due[number] > ends:
                return counts
            self.now = due[number]
            self.check_all_play()
            renewed = self.renewers[number].round()
            if renewed:
                self.look()
                self.check_all_play()
                # The other finds nothing left to do.
                assert self.renewers[1 - number].round() == 0
            counts["rounds"] += 1
            counts["renewed"] += renewed
            due[number] += self.renewers[number].pause_seconds * chance.uniform(0.75, 1.25)
            if number == 1 and self.now > START + SECOND_STOPS:
                due[number] = inf


@pytest.fixture
def world(
    firebase: LocalFirebase, frontend: Frontend, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    settings = config.load(None)
    project = Project(settings)

    def now() -> float:
        return made.now

    monkeypatch.setattr(_signing, "_NOW", lambda _zone: datetime.fromtimestamp(now(), UTC))
    stores = [AudioStore(project, settings.storage, now) for _ in range(2)]
    renewers = [Renewer(project, store, lambda: int(now() * 1000)) for store in stores]
    made = World(frontend, project, stores[0], renewers)
    yield made
    project.close()


def test_no_url_dies_in_a_month_whatever_happens_to_its_book(world: World) -> None:
    for book_id in ("kept", "cancelled", "edited", "again", "deleted"):
        world.narrate(book_id, title=book_id)
    stolen = world.shown["kept"]
    world.frontend.node("books", "thief").set(
        {name: stolen[name] for name in ("narrativeAudioPath", "narrativeAudioUrlExpiresAt")}
        | {"narrativeAudioUrl": "none of ours"}
    )
    world.frontend.add("silent", "A book that was never narrated.")
    world.look()
    node = world.frontend.node
    before = world.shown

    counts = world.live_through(
        30 * DAY,
        {
            2.5 * DAY: lambda: node("books", "cancelled", "narrativeAudioStatus").delete(),
            4.6 * DAY: lambda: world.narrate("again"),
            9.0 * DAY: lambda: node("books", "edited").update({"title": "Another", "narrative": 7}),
            9.3 * DAY: lambda: node("books", "deleted").delete(),
            20.0 * DAY: lambda: world.narrate("new"),
        },
        seed=1,
    )
    after = world.shown
    assert counts["rounds"] > 900
    # Four to five days pass between two renewals of a book, so none is signed more than it must be.
    assert 5 * 5 < counts["renewed"] < 5 * 8
    assert "deleted" not in after
    assert "narrativeAudioStatus" not in after["cancelled"]
    assert (after["edited"]["title"], after["edited"]["narrative"]) == ("Another", 7)
    assert after["silent"] == before["silent"]
    assert after["thief"] == before["thief"]
    assert after["again"]["narrativeAudioPath"] != before["again"]["narrativeAudioPath"]


def test_a_long_renewal_is_done_in_stretches(world: World) -> None:
    for number in range(5):
        world.narrate(f"b{number}")
    world.frontend.node("books", "b1").update({"narrativeAudioPath": "not/its/own.wav"})
    world.now += 6 * DAY
    renewer = world.renewers[0]
    stretches = []
    while True:
        stretches.append(renewer.round(seconds=0))
        if not renewer.behind:
            break
    assert stretches == [1, 0, 1, 1, 1, 0]
    assert world.renewers[1].round() == 0


def test_a_clock_that_was_set_back_renews_each_book_once_a_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_PAGE", 2)
    for number in range(5):
        world.narrate(f"b{number}")
    ahead = Renewer(world.project, world.store, lambda: int((world.now + DAY) * 1000))
    world.now += 60
    assert [ahead.round(everything=True) for _ in range(2)] == [5, 0]
    world.now += 60
    assert ahead.round(everything=True) == 5


class _Keyless:
    """Credentials as workload identity gives them: a token, and no key to sign with."""

    service_account_email = "narrator@demo-books.iam.gserviceaccount.com"
    token = "ambient"

    def refresh(self, _request: object) -> None:
        pass


def test_urls_signed_without_a_key_live_twelve_hours_and_never_die(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_by = []

    def sign(_message: object, token: str, account: str, *_: object) -> str:
        signed_by.append((token, account))
        return "c2lnbmF0dXJl"

    monkeypatch.setattr(_signing, "_sign_message", sign)
    monkeypatch.setattr(world.project, "credentials", _Keyless())
    world.narrate("kept")
    world.narrate("other")
    assert "X-Goog-Expires=43200&" in world.shown["kept"]["narrativeAudioUrl"]
    counts = world.live_through(5 * DAY, {}, seed=2)
    assert counts["renewed"] >= 2 * 14
    assert set(signed_by) == {("ambient", _Keyless.service_account_email)}

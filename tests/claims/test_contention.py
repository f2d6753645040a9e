"""A book that others write to faster than a transaction can: read again later, nothing deleted."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from narrator_daemon import config
from narrator_daemon.catalogue import Record
from narrator_daemon.claims.book import Verdict
from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.claims import Claims
from narrator_daemon.claims.leases import Leases
from narrator_daemon.claims.outcome import Publication
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.emulator import LocalFirebase
from narrator_daemon.errors import Contended
from narrator_daemon.firebase.project import Project
from narrator_daemon.firebase.storage import AudioStore
from tests.actors import Frontend

#: After so many refused writes the SDK gives a transaction up.
TRIES = 25


class BusyClaims(Claims):
    """Claims on a book that a frontend writes to each time it has been read."""

    conflicts = 0

    def digest(self, record: Record) -> str:
        if self.conflicts:
            self.conflicts -= 1
            self.touch()
        return super().digest(record)

    def touch(self) -> None:
        raise AssertionError("replaced by the test")


@dataclass(frozen=True)
class BusyPublication(Publication):
    """A publication of a book that is written to while it is being published."""

    touch: Any = None

    def apply(self, book: Record, claim: Claim) -> Record:
        self.touch()
        return super().apply(book, claim)


@pytest.fixture
def project(firebase: LocalFirebase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name, value in firebase.environment().items():
        monkeypatch.setenv(name, value)
    project = Project(config.load(None))
    yield project
    project.close()


def test_twenty_five_refusals_delete_nothing_and_the_next_try_goes_on(
    project: Project, frontend: Frontend
) -> None:
    settings = config.load(None)
    counter = itertools.count()

    def touch() -> None:
        frontend.node("books", "b", "touched").set(next(counter))

    leases = Leases(project, "worker", ttl=45)
    claims = BusyClaims(project, settings, "voice", lambda *_: False, leases)
    claims.touch = touch  # type: ignore[method-assign]
    frontend.add_requested("b", "A text.")

    claims.conflicts = TRIES
    with pytest.raises(Contended) as refused:
        claims.claim("b")
    assert claims.conflicts == 0
    assert frontend.status("b") == "requested"
    # It is no outage: claiming goes on with other books.
    dependencies = Dependencies()
    dependencies.report(refused.value)
    assert dependencies.down == {}

    work = claims.claim("b").work
    assert work is not None
    store = AudioStore(project, settings.storage)
    stored = store.upload(store.path("b", work.token), io.BytesIO(b"RIFF"), 4, book_id="b")
    fields = (stored.url, stored.url_expires_at, 1.0, stored.path, "hash")
    with pytest.raises(Contended):
        claims.settle(work, BusyPublication(*fields, touch=touch))
    assert frontend.status("b") == "processing"
    assert store.exists(stored.path)

    assert claims.settle(work, Publication(*fields)).verdict is Verdict.APPLIED
    assert frontend.status("b") == "ready"
    assert store.exists(stored.path)

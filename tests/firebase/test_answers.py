"""What the SDKs raise, as what an operator is told."""

from __future__ import annotations

from typing import Any

import google.auth.exceptions
import pytest
import requests
from google.api_core import exceptions as google_api
from google.cloud.storage.exceptions import DataCorruption

from narrator_daemon.errors import NarratorError, Refused, Unavailable
from narrator_daemon.firebase import books
from narrator_daemon.firebase.answers import database_errors, storage_errors
from narrator_daemon.firebase.transact import transact
from tests.memory import MemoryProject, refusal


def seen(context: Any, error: Exception) -> Unavailable:
    with pytest.raises(Unavailable) as met, context:
        raise error
    return met.value


TransportError = google.auth.exceptions.TransportError
RefreshError = google.auth.exceptions.RefreshError


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (refusal(401), Refused, "Firebase Realtime Database Admin"),
        (refusal(403), Refused, "Firebase Realtime Database Admin"),
        (refusal(400, "Index not defined"), Refused, '".indexOn": ["narrativeAudioStatus", '),
        (refusal(400, "bad data"), Refused, ""),
        (refusal(404), Refused, "firebase.database_url"),
        (refusal(412), Refused, ""),
        (refusal(429), Unavailable, ""),
        (refusal(500), Unavailable, ""),
        (refusal(503), Unavailable, ""),
        (TransportError("no route"), Unavailable, ""),
        (RefreshError("again", retryable=True), Unavailable, ""),
        (RefreshError("gone"), Refused, "firebase.credentials"),
        (RefreshError("Check your iat and exp values"), Refused, "this machine's clock is wrong"),
        (requests.ConnectionError("reset"), Unavailable, ""),
    ],
)
def test_of_the_database(error: Exception, kind: type, advice: str) -> None:
    told = seen(database_errors("/shelf"), error)
    assert type(told) is kind
    assert told.dependency == "database"
    assert advice in str(told)
    assert bool(told.advice) == bool(advice)
    if "index" in str(told).lower():
        assert "/shelf" in str(told)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (google_api.NotFound("no"), Refused, "firebase.storage_bucket"),
        (google_api.Forbidden("no"), Refused, "Storage Object Admin"),
        (google_api.Unauthorized("no"), Refused, "Storage Object Admin"),
        (google_api.RetryError("late", cause=None), Unavailable, ""),
        (google_api.BadRequest("no"), Refused, ""),
        (google_api.TooManyRequests("slow"), Refused, ""),
        (google_api.ServiceUnavailable("no"), Unavailable, ""),
        (TransportError("no route"), Unavailable, "Service Account Token Creator"),
        (RefreshError("again", retryable=True), Unavailable, ""),
        (RefreshError("gone"), Refused, "Service Account Token Creator"),
        (requests.ConnectionError("reset"), Unavailable, ""),
        (TimeoutError("late"), Unavailable, ""),
        (DataCorruption(None, "doesn't match calculated"), Unavailable, ""),
    ],
)
def test_of_storage(error: Exception, kind: type, advice: str) -> None:
    told = seen(storage_errors("bucket-1"), error)
    assert type(told) is kind
    assert told.dependency == "storage"
    assert advice in str(told)


def test_other_errors_are_faults_of_the_program_and_stay() -> None:
    for context in (database_errors(), storage_errors("b")):
        with pytest.raises(ZeroDivisionError), context:
            raise ZeroDivisionError


def test_an_error_says_where_what_and_what_to_do() -> None:
    assert str(NarratorError("is wrong")) == "is wrong"
    assert str(NarratorError("is wrong", where="[a] b")) == "[a] b: is wrong"
    assert str(NarratorError("is wrong", advice="mend it")) == "is wrong; mend it"
    whole = NarratorError("is wrong", where="[a] b", advice="mend it")
    assert str(whole) == "[a] b: is wrong; mend it"
    assert (whole.what, whole.where, whole.advice) == ("is wrong", "[a] b", "mend it")


class TestTransactions:
    def test_what_was_decided_last_comes_back(self) -> None:
        project = MemoryProject({"b": {"n": 1}})
        busy = iter([True, True, False])

        def touch() -> None:
            if next(busy):
                project.shelf["b"]["n"] += 1

        project.at_each("write /books/b", touch)
        seen = transact(project.book("b"), lambda book: ({"n": 10 * book["n"]}, book["n"]))
        assert seen == 3
        assert project.shelf["b"] == {"n": 30}

    def test_nothing_is_written_where_nothing_is_to_be(self) -> None:
        project = MemoryProject({"b": {"n": 1}})
        assert transact(project.book("b"), lambda book: (None, book["n"])) == 1
        assert transact(project.book("none"), lambda book: (None, book)) is None
        assert project.count("write") == 0
        assert list(project.shelf) == ["b"]

    def test_an_error_in_the_decision_ends_it(self) -> None:
        project = MemoryProject({"b": {"n": 1}})
        down = Unavailable("storage", "503")

        def decide(_book: Any) -> tuple[None, None]:
            raise down

        with pytest.raises(Unavailable) as met:
            transact(project.book("b"), decide)
        assert met.value is down


class TestQueries:
    def test_the_first_and_the_last_of_a_status(self) -> None:
        shelf = {f"b{n}": {"narrativeAudioStatus": "ready"} for n in range(5)}
        project: Any = MemoryProject({**shelf, "x": {"narrativeAudioStatus": "failed"}, "y": "t"})
        assert list(books.with_status(project, "ready")) == list(shelf)
        assert list(books.with_status(project, "ready", 2)) == ["b0", "b1"]
        assert list(books.with_status(project, "ready", 2, last=True)) == ["b3", "b4"]

    def test_those_that_expire(self) -> None:
        times = {"a": 0, "b": 1, "c": 5, "d": 6, "e": None, "f": "soon"}
        project: Any = MemoryProject(
            {name: {"narrativeAudioUrlExpiresAt": at} for name, at in times.items()}
        )
        assert list(books.expiring(project, 5, 10)) == ["b", "c"]
        assert list(books.expiring(project, 5, 1)) == ["b"]

    def test_both_indices_are_asked_for(self) -> None:
        project: Any = MemoryProject()
        books.check_indices(project)
        assert project.count("by narrativeAudioStatus") == 1
        assert project.count("by narrativeAudioUrlExpiresAt") == 1

    @pytest.mark.parametrize(("found", "complete"), [(99, True), (100, False), (101, False)])
    def test_as_many_as_were_asked_for_may_not_be_all(self, found: int, complete: bool) -> None:
        assert books.is_complete(range(found)) is complete
        assert books.is_complete(range(found), found + 1)

    def test_the_stream_asks_for_what_waits_within_the_window(self) -> None:
        assert books.stream_query() == {
            "orderBy": '"narrativeAudioStatus"',
            "equalTo": '"requested"',
            "limitToFirst": "100",
        }

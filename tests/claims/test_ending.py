"""What is told of the end of a claim, and written into its book's history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from narrator_daemon.claims.claim import Claim
from narrator_daemon.claims.ending import Ending
from narrator_daemon.claims.history import record_ending
from tests.memory import MemoryProject

CLAIM = Claim("mine", "w", 1, 0, "hash", 1, 7, 1000)
PUBLISHED = Ending("b", "published", CLAIM, facts={"audioSeconds": 2.5, "secondsByStep": {"a": 1}})


def test_nothing_is_lost_and_no_time_has_passed_unless_it_is_said() -> None:
    ending = Ending("b", "failed")
    assert (ending.seconds, ending.since_request) == (0, None)
    assert not ending.lease_lost and not ending.book_gone
    assert ending.seconds_by_step == {}


def test_only_a_narration_that_is_shown_has_audio() -> None:
    assert PUBLISHED.published and PUBLISHED.audio_seconds == 2.5
    assert PUBLISHED.seconds_by_step == {"a": 1}
    discarded = replace(PUBLISHED, outcome="discarded")
    assert not discarded.published and discarded.audio_seconds == 0


def history(ending: Ending) -> Any:
    memory = MemoryProject()
    project: Any = memory
    record_ending(project, ending)
    return memory.tree.get("narrationJobs")


def test_an_ending_is_written_under_its_claim() -> None:
    written = history(PUBLISHED)
    assert list(written) == ["b"] and list(written["b"]) == ["mine"]
    assert written["b"]["mine"]["outcome"] == "published"


def test_one_without_a_claim_or_without_a_book_is_written_nowhere() -> None:
    assert history(replace(PUBLISHED, claim=None)) is None
    assert history(replace(PUBLISHED, book_gone=True)) is None
    assert history(replace(PUBLISHED, claim=None, book_gone=True)) is None

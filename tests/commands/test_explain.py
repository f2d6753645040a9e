"""One book's story from what the database holds, however odd that is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.commands.explain import find_problems, timeline

REQUESTED_AT = 1_750_000_000_000
CLAIM = {"owner": "w1", "attempt": 2, "take": 1, "inputHash": "h", "at": REQUESTED_AT + 9_000}
LOST = {
    "owner": "w1",
    "attempt": 1,
    "take": 1,
    "claimedAt": REQUESTED_AT + 1_000,
    "endedAt": REQUESTED_AT + 60_000,
    "outcome": "worker_lost",
    "reapedBy": "w2",
}
RETRIED = {
    **LOST,
    "outcome": "retried",
    "seconds": 2.5,
    "secondsByStep": {"text": 0.1, "speech": 2.4},
    "error": {"code": "engine_error", "message": "The engine failed."},
}


def told(record: dict[str, Any], history: dict[str, Any]) -> list[str]:
    return [moment.what for moment in timeline("b", record, history)]


def test_what_happened_is_told_in_order() -> None:
    record = {
        "narrativeAudioRequestedAt": REQUESTED_AT,
        "narrativeAudioRequestedBy": "ada",
        "narrativeAudioClaim": {**CLAIM, "token": "t3", "at": REQUESTED_AT + 70_000},
    }
    later = {**RETRIED, "claimedAt": REQUESTED_AT + 61_000, "endedAt": REQUESTED_AT + 63_500}
    assert told(record, {"t2": later, "t1": LOST}) == [
        "requested by ada",
        "claimed by w1 (attempt 1, take 1)",
        "the worker was lost, found by w2",
        "claimed by w1 (attempt 1, take 1)",
        "went wrong and waits for another attempt: The engine failed. (engine_error), "
        "after 2.5 s (text 0.1, speech 2.4)",
        "claimed by w1 (attempt 2, take 1); in work",
    ]


def test_a_claim_stands_before_its_end_whatever_clocks_say() -> None:
    ahead = {**LOST, "claimedAt": REQUESTED_AT + 3_600_000}
    record = {"narrativeAudioRequestedAt": REQUESTED_AT}
    assert told(record, {"t1": ahead}) == [
        "requested",
        "claimed by w1 (attempt 1, take 1); its time is by a clock that was ahead",
        "the worker was lost, found by w2",
    ]
    # Within what is known of a service's clock it is no contradiction.
    close = {**LOST, "claimedAt": LOST["endedAt"] + 500}
    assert told(record, {"t1": close})[1] == "claimed by w1 (attempt 1, take 1)"


@pytest.mark.parametrize("state", ["in work", "waiting", "ready", "failed"])
def test_a_request_stands_before_what_was_made_of_it_whatever_clocks_say(state: str) -> None:
    """A frontend may write its browser's own time."""
    asked = REQUESTED_AT + 86_400_000
    earlier = {**LOST, "outcome": "published", "claimedAt": 1_000, "endedAt": 2_000}
    claim = {**CLAIM, "requestedAt": asked, "at": REQUESTED_AT + 70_000}
    record: dict[str, Any] = {"narrativeAudioRequestedAt": asked, "narrativeAudioStatus": state}
    if state == "in work":
        record |= {"narrativeAudioStatus": "processing", "narrativeAudioClaim": claim}
        record["narrativeAudioClaim"] |= {"token": "t3"}
    elif state == "waiting":
        record |= {"narrativeAudioStatus": "requested", "narrativeAudioClaim": claim}
    story = told(record, {"t1": LOST, "t0": earlier})
    assert story[2:5] == [
        "requested (its time is by a clock that was ahead)",
        "claimed by w1 (attempt 1, take 1)",
        "the worker was lost, found by w2",
    ]


def test_a_new_request_that_nobody_has_taken_up_stands_last() -> None:
    record = {
        "narrativeAudioRequestedAt": LOST["endedAt"] + 60_000,
        "narrativeAudioStatus": "requested",
        "narrativeAudioClaim": {**CLAIM, "requestedAt": REQUESTED_AT},
    }
    assert told(record, {"t1": LOST})[-1] == "requested"
    del record["narrativeAudioStatus"]
    assert told(record, {"t1": LOST})[-1] == "requested"


def test_segments_that_are_not_fit_are_told_of() -> None:
    takes = {"judged": 9, "passed": 7, "draws": 13, "faults": {"too_long": 1, "repeated": 2}}
    published = {**LOST, "outcome": "published", "takes": takes}
    assert told({}, {"t1": published})[1] == (
        "published; 7 of 9 segments sound fit (1 too_long, 2 repeated)"
    )
    steady = {"score": 0.3, "changes": {"level": -6.0}, "drifts": ["level", "room"]}
    drifting = {**published, "takes": {"judged": 9, "passed": 9, "consistency": steady}}
    assert told({}, {"t1": drifting})[1] == (
        "published; from its first fifth to its last it drifts in level, room"
    )
    good = {**published, "takes": {"judged": 9, "passed": 9, "draws": 9}}
    assert told({}, {"t1": good})[1] == "published"


def test_every_moment_of_a_claim_can_be_found_in_the_log() -> None:
    claimed, ended = timeline("b", {}, {"t1": RETRIED})
    for moment in (claimed, ended):
        assert {name: moment.facts[name] for name in ("book", "attempt", "token")} == {
            "book": "b",
            "attempt": 1,
            "token": "t1",
        }
    assert ended.facts["outcome"] == "retried"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*RETRIED, "reapedBy", "audioSeconds", "takes"])


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5), st.dictionaries(NAMES, JSON) | JSON), JSON, JSON)
def test_no_history_is_too_odd_to_be_told(history: dict[str, Any], at: Any, claim: Any) -> None:
    record = {"narrativeAudioRequestedAt": at, "narrativeAudioClaim": claim}
    assert all(isinstance(what, str) for what in told(record, history))


class _Store:
    def exists(self, path: str) -> bool:
        return path == "there.wav"


@pytest.mark.parametrize(
    ("record", "leases", "words"),
    [
        ({"narrativeAudioStatus": "ready", "narrativeAudioPath": "there.wav"}, set(), []),
        (
            {"narrativeAudioStatus": "ready", "narrativeAudioPath": "gone.wav"},
            set(),
            ["no object gone.wav"],
        ),
        (
            {"narrativeAudioStatus": "processing", "narrativeAudioClaim": "odd"},
            set(),
            ["nobody holds a claim", "a shape that no daemon writes"],
        ),
        (
            {"narrativeAudioStatus": "processing", "narrativeAudioClaim": {**CLAIM, "token": "t"}},
            set(),
            ["w1 holds no lease on it"],
        ),
        (
            {"narrativeAudioStatus": "processing", "narrativeAudioClaim": {**CLAIM, "token": "t"}},
            {"t"},
            [],
        ),
    ],
)
def test_what_does_not_fit_together(
    record: dict[str, Any], leases: set[str], words: list[str]
) -> None:
    store: Any = _Store()
    found = find_problems(record, leases, store)
    assert len(found) == len(words)
    for problem, word in zip(found, words, strict=True):
        assert word in problem

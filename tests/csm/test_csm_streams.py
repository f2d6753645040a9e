"""Who is served next, and who gets what: streams without an engine."""

from __future__ import annotations

from collections import Counter
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from csm import CsmError, Sampling, Take, Voice
from csm.engine.pieces import SHORTEST, pieces
from csm.engine.script import Script
from csm.engine.streams import Job, Stream, Streams

VOICE = Voice("Noise.", torch.ones(10, 32, dtype=torch.int64))
ROOM = 1000


def stream(texts: list[str], voice: Voice | None = VOICE, skip: set[int] | None = None) -> Stream:
    wanted = set(range(len(texts))) - (skip or set())
    return Stream(texts, 0, voice, cast(Script, None), wanted, Sampling())


def take(index: int, seconds: float = 3.0, *, ended: bool = True) -> Take:
    frames = int(seconds * 12.5)
    samples = np.full(frames * 1920, 0.1, dtype=np.float32)
    return Take(index, samples, torch.ones(frames, 32, dtype=torch.int64), ended)


def begin(streams: Streams, room: int = ROOM) -> Job:
    job = streams.next_job(room)
    assert job is not None
    return job


def test_the_longest_goes_first() -> None:
    one = stream(["a" * 5, "b" * 9, "c" * 5, "d" * 7])
    assert [one.next_job().index for _ in range(4)] == [1, 3, 0, 2]
    assert not one.has_work(ROOM)


def test_a_short_book_does_not_wait_for_a_long_one() -> None:
    streams = Streams()
    long, short = stream(["word " * 20] * 100), stream(["No."] * 3)
    streams.add(long)
    working = [begin(streams) for _ in range(8)]
    streams.add(short)
    # As slots fall free they go to the one that has fewer, until both have as many.
    for _ in range(3):
        job = working.pop(0)
        job.stream.deliver(job, take(job.index))
        working.append(begin(streams))
    assert Counter(job.stream is short for job in working) == {True: 3, False: 5}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 6))
def test_shares_are_even_and_all_is_spoken(counts: list[int], slots: int) -> None:
    streams = Streams()
    all_streams = [stream(["word"] * count) for count in counts]
    for one in all_streams:
        streams.add(one)
    working: list[Job] = []
    done: list[Job] = []
    while True:
        while len(working) < slots and (job := streams.next_job(ROOM)) is not None:
            working.append(job)
        if not working:
            break
        # Nobody has two more than somebody who has something left to say.
        shares = {one: sum(job.stream is one for job in working) for one in all_streams}
        waiting = [shares[one] for one in all_streams if one.has_work(ROOM)]
        assert not waiting or max(shares.values()) <= min(waiting) + 1
        job = working.pop(0)
        job.stream.deliver(job, take(job.index))
        done.append(job)
    for one, count in zip(all_streams, counts, strict=True):
        assert sorted(job.index for job in done if job.stream is one) == list(range(count))
        assert len(one.finished) == count


def test_what_nobody_takes_is_not_piled_up() -> None:
    streams, one = Streams(), stream(["word"] * 5)
    streams.add(one)
    first, second = begin(streams, 2), begin(streams, 2)
    assert streams.next_job(2) is None
    one.deliver(first, take(first.index))
    assert streams.next_job(2) is None
    assert one.take() is not None
    third = begin(streams, 2)
    assert third.wanted and second.wanted and not first.wanted


def test_what_is_put_back_is_begun_again_with_the_same_seed() -> None:
    one = stream(["long one", "short"])
    job = one.next_job()
    one.put_back(job)
    again = one.next_job()
    assert again.index == job.index and again.seed(0) == job.seed(0) != job.seed(1)
    # What was given up meanwhile is not begun again.
    one.stop()
    one.put_back(again)
    assert not one.has_work(ROOM) and one.over


def test_what_was_damaged_is_begun_again_once() -> None:
    one = stream(["long one", "short"])
    job = one.next_job()
    assert one.try_again(job) and not job.wanted
    again = one.next_job()
    assert again.index == job.index and not one.try_again(again)
    assert one.try_again(one.next_job())
    # Nobody waits for it any more: no failure of anybody's.
    one.stop()
    assert one.try_again(again)


def test_the_first_that_comes_out_well_gives_the_voice_in_any_order() -> None:
    texts = ["one", "two", "three", "four", "five", "six, the longest"]
    one = stream(texts, voice=None)
    tries = [one.next_job() for _ in range(5)]
    assert [job.index for job in tries] == [0, 1, 2, 3, 4] and not one.has_work(ROOM)
    assert all(job.voice is None for job in tries)
    one.deliver(tries[2], take(2))
    assert not one.finished  # An earlier one may still come out well.
    one.deliver(tries[0], take(0, 0.5))
    one.deliver(tries[1], take(1, ended=False))
    assert [made.index for made in one.finished] == [2]
    # Those under way are not wanted in a voice of their own.
    assert not tries[3].wanted
    one.deliver(tries[3], take(3))
    assert len(one.finished) == 1
    rest = [one.next_job() for _ in range(5)]
    assert [job.index for job in rest] == [5, 3, 4, 0, 1]
    assert one.voice is not None and one.voice.text == "three"
    assert all(job.voice is one.voice for job in rest)


def test_skipped_segments_may_still_give_the_voice() -> None:
    one = stream(["one", "two"], voice=None, skip={0})
    job = one.next_job()
    one.deliver(job, take(0))
    assert not one.finished and one.next_job().index == 1


def test_takes_come_before_the_error() -> None:
    one = stream(["one", "two"])
    job = one.next_job()
    one.deliver(job, take(job.index))
    one.stop(CsmError("broken"))
    one.stop(CsmError("later"))
    assert one.take() is not None and not one.over
    assert str(one.error) == "broken"


WORDS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=60).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(WORDS, st.integers(SHORTEST, 80))
def test_pieces_fit_and_lose_nothing(text: str, longest: int) -> None:
    made = pieces(text, lambda piece: len(piece) <= longest)
    assert all(0 < len(piece) <= longest for piece in made)
    assert "".join(made).replace(" ", "") == text.replace(" ", "")
    if longest >= 20:
        assert " ".join(made) == text  # No word is cut.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It was wise. It was not.", ["It was wise.", "It was not."]),
        ("It was wise, it was not", ["It was wise,", "it was not"]),
        ('He said "no." She did not.', ['He said "no."', "She did not."]),
        ("x" * 24, ["x" * 12, "x" * 12]),
    ],
)
def test_pieces_end_where_one_breathes(text: str, expected: list[str]) -> None:
    assert pieces(text, lambda piece: len(piece) <= 20) == expected

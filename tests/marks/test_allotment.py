"""Watermark indices are drawn in blocks, and none is given to two books."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon.errors import NodeRefused, Refused, Unavailable
from narrator_daemon.marks import allotment
from narrator_daemon.marks.allotment import FIRST_LOCAL, LARGEST_BLOCK, Indices
from tests.memory import MemoryProject, refusal

COUNTER = "narrationMarksNext"


def indices(project: MemoryProject) -> Indices:
    made: Any = project
    return Indices(made)


def draws(project: MemoryProject) -> int:
    return project.count(f"write /{COUNTER}")


def test_a_process_draws_larger_and_larger_blocks() -> None:
    project = MemoryProject()
    one = indices(project)
    given = [one.allot(f"b{number}") for number in range(4 + 16 + 64 + 3 * LARGEST_BLOCK)]
    assert given == list(range(given[0], given[0] + len(given)))
    assert draws(project) == 6
    assert project.tree["narrationMarks"] == {f"b{n}": index for n, index in enumerate(given)}


def test_a_book_keeps_its_index_and_takes_none_from_the_block() -> None:
    project = MemoryProject()
    one = indices(project)
    first = one.allot("a")
    assert [one.allot("a") for _ in range(10)] == [first] * 10
    assert one.allot("b") == first + 1
    assert draws(project) == 1


def test_an_index_whose_write_was_not_answered_is_given_to_nobody() -> None:
    project = MemoryProject()
    one = indices(project)
    first = one.allot("a")
    project.fail("write /narrationMarks/b", refusal(503), times=1)
    with pytest.raises(Unavailable):
        one.allot("b")
    assert [one.allot("c"), one.allot("b")] == [first + 2, first + 3]


def test_a_draw_that_was_not_answered_is_made_anew() -> None:
    project = MemoryProject()
    one = indices(project)
    project.fail(f"write /{COUNTER}", refusal(503), times=1)
    with pytest.raises(Unavailable):
        one.allot("a")
    assert one.allot("a") + 4 == project.tree[COUNTER]


def test_a_new_book_costs_two_requests_and_a_known_one_a_single_one() -> None:
    project = MemoryProject()
    one = indices(project)
    one.allot("a")
    project.calls.clear()
    one.allot("b")
    assert project.calls == [("read", "/narrationMarks/b"), ("write", "/narrationMarks/b")]
    project.calls.clear()
    one.allot("b")
    assert project.calls == [("read", "/narrationMarks/b")]


def test_a_book_that_is_new_costs_one_request() -> None:
    project = MemoryProject()
    one = indices(project)
    one.allot("a")
    project.calls.clear()
    given = one.allot("b", is_new=True)
    assert project.calls == [("write", "/narrationMarks/b")]
    assert project.tree["narrationMarks"]["b"] == given


def test_one_that_was_taken_for_new_keeps_its_index() -> None:
    project = MemoryProject()
    one = indices(project)
    first = one.allot("a")
    project.calls.clear()
    assert one.allot("a", is_new=True) == first
    assert project.calls == [("write", "/narrationMarks/a")]
    # What was drawn for it is given to nobody.
    assert one.allot("b", is_new=True) == first + 2


def test_where_rules_let_nobody_write_it_anew_it_is_read() -> None:
    project = MemoryProject()
    one = indices(project)
    first = one.allot("a")
    project.fail("write /narrationMarks/a", refusal(401), times=1)
    assert one.allot("a", is_new=True) == first
    project.fail("write /narrationMarks/b", refusal(401), times=1)
    # Of two that were drawn for it, one is given to nobody, as is the one that was drawn before.
    assert one.allot("b", is_new=True) == first + 3
    project.fail("write /narrationMarks/c", refusal(401))
    with pytest.raises(NodeRefused, match="/narrationMarks/c cannot be written"):
        one.allot("c", is_new=True)


def test_what_no_index_can_be_is_written_over() -> None:
    project = MemoryProject()
    project.tree["narrationMarks"] = {"a": "seven"}
    given = indices(project).allot("a", is_new=True)
    assert project.tree["narrationMarks"] == {"a": given}


def test_an_index_that_another_wrote_meanwhile_is_the_books() -> None:
    project = MemoryProject()
    first = indices(project).allot("a")
    one, other = indices(project), indices(project)
    raced: list[int] = []
    project.at_each(
        "write /narrationMarks/b",
        lambda: raced or raced.append(-1) or raced.append(other.allot("b")),
    )
    assert one.allot("b") == raced[1] != first
    assert project.tree["narrationMarks"] == {"a": first, "b": raced[1]}


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_mark_that_the_database_refuses_is_of_its_book(call: str) -> None:
    project = MemoryProject()
    one = indices(project)
    project.fail(f"{call} /narrationMarks/b", refusal(401))
    with pytest.raises(NodeRefused, match="/narrationMarks/b cannot be written"):
        one.allot("b")
    one.allot("a")


def test_a_counter_that_the_database_refuses_is_everybodys() -> None:
    project = MemoryProject()
    project.fail(f"write /{COUNTER}", refusal(401))
    with pytest.raises(Refused) as refused:
        indices(project).allot("b")
    assert not isinstance(refused.value, NodeRefused)


def test_where_the_counter_is_lost_no_index_that_others_hold_is_given_out() -> None:
    project = MemoryProject()
    holder, other = indices(project), indices(project)
    known = [holder.allot("a")]
    del project.tree[COUNTER]
    known += [other.allot(f"o{number}") for number in range(100)]
    known += [holder.allot(f"h{number}") for number in range(100)]
    assert len(set(known)) == len(known)


def test_the_last_indices_are_given_out_and_none_of_the_other_half() -> None:
    project = MemoryProject()
    project.tree[COUNTER] = FIRST_LOCAL - 2
    one = indices(project)
    assert [one.allot("a"), one.allot("b")] == [FIRST_LOCAL - 2, FIRST_LOCAL - 1]
    for _ in range(2):
        with pytest.raises(Unavailable, match="used up"):
            one.allot("c")
    assert project.tree[COUNTER] == FIRST_LOCAL


def test_threads_share_a_block() -> None:
    project = MemoryProject()
    one = indices(project)
    one.allot("first")
    found: list[int] = []
    lock = threading.Lock()

    def take(name: str) -> None:
        for number in range(50):
            index = one._next()
            with lock:
                found.append(index)
            assert number < 50, name

    threads = [threading.Thread(target=take, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 200


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["allot", "one", "restart", "lose", "fail"]), st.integers(0, 3)),
        max_size=60,
    )
)
def test_no_two_books_share_an_index(steps: list[tuple[str, int]]) -> None:
    project = MemoryProject()
    made: Any = project
    replicas = [indices(project) for _ in range(4)]
    for number, (step, who) in enumerate(steps):
        try:
            if step == "allot":
                replicas[who].allot(f"b{number}")
            elif step == "one":
                allotment.allot(made, f"b{number}")
            elif step == "restart":
                replicas[who] = indices(project)
            elif step == "lose" and "narrationMarks" in project.tree:
                project.tree.pop(COUNTER, None)
            elif step == "fail":
                project.fail("write", refusal(503), times=1)
        except Unavailable:
            pass
    given = list(project.tree.get("narrationMarks", {}).values())
    assert len(set(given)) == len(given)

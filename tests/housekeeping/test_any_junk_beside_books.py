"""Whatever lies in the nodes beside the books, or in any field, no loop and no command falls."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from narrator_daemon import catalogue
from narrator_daemon.commands import explain, failures, retry, status
from narrator_daemon.daemon.dependencies import Dependencies
from narrator_daemon.daemon.drain import Drain
from narrator_daemon.daemon.in_work import InWork
from narrator_daemon.housekeeping.forgetting import Forgetter
from narrator_daemon.housekeeping.renewal import Renewer
from narrator_daemon.marks.allotment import Indices, read_all
from narrator_daemon.queue import demand
from narrator_daemon.settings import Registry, Settings
from tests.housekeeping.test_any_junk import House, check_all_get_on, junk, records
from tests.memory import SERVER_NOW

NODES = sorted(catalogue.OWN_NODES)
NAMES = ["book", "path", "state", "enteredAt", "publishedAt", "owner", "until", "through"]
NAMES += ["instance", "beat", "ttl", "at", "first", "second", "claimedAt", "endedAt", "error"]

entries = st.dictionaries(
    st.sampled_from(NAMES),
    st.one_of(junk, st.just("m"), st.just("pending"), st.integers(0, 2 * SERVER_NOW)),
    max_size=5,
)
values = st.one_of(
    junk,
    st.dictionaries(
        st.sampled_from(["m", "a-left", "w", "first", "second", "0", *NAMES[5:8]]),
        st.one_of(junk, entries, st.dictionaries(st.sampled_from(["t", "x"]), entries, max_size=2)),
        max_size=4,
    ),
)


@settings(max_examples=120, deadline=None)
@given(record=records, nodes=st.dictionaries(st.sampled_from(NODES), values, max_size=3))
def test_all_get_on(record: Any, nodes: Any) -> None:
    house = House()
    house.project.shelf["m"] = record
    house.project.tree.update(nodes)
    project: Any = house.project
    store: Any = house.store
    with structlog.testing.capture_logs() as logs:
        check_all_get_on(house)
        Renewer(project, store, clock=lambda: SERVER_NOW, owner="w").step()
        keep = Registry(keep_days=1, remove_with_book=True)
        Forgetter(project, keep, now_ms=lambda: SERVER_NOW).round()
        stopping = threading.Event()
        in_work = InWork(lambda: 1)
        Drain(
            project, Settings(), house.waiting, in_work, Dependencies(), stopping, lambda: 3
        ).step()
        Indices(project).allot("m")
    wrong = [one for one in logs if one["event"].endswith("_failed")]
    # What cannot be renewed is told of as that.
    assert [one for one in wrong if one["event"] != "renewal_failed"] == []


@settings(max_examples=120, deadline=None)
@given(record=records, nodes=st.dictionaries(st.sampled_from(NODES), values, max_size=3))
def test_operators_are_shown_what_there_is(record: Any, nodes: Any) -> None:
    house = House()
    house.project.shelf["m"] = record
    house.project.tree.update(nodes)
    project: Any = house.project
    store: Any = house.store
    demand.read(project, limit=3, clock=lambda: SERVER_NOW).as_record()
    status.read(project, 45.0, 3, lambda: SERVER_NOW).as_record()
    listed = failures.find(project, failures.Filter(since=5))
    assert json.dumps([one.as_record() for one in listed.failed])
    if isinstance(record, dict):
        history = catalogue.children(
            catalogue.children(house.project.tree.get("narrationJobs")).get("m")
        )
        assert all(isinstance(one.what, str) for one in explain.timeline("m", record, history))
        story = explain.Story("m", explain._fields(record), [], [])
        assert story.as_record()["book"] == "m"
        explain.find_problems(record, set(), store)
    retry.request_failed(project, failures.Filter())
    read_all(project)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("value", ["", 0, True, [None, 1], {"m": None, "w": {"x": []}}])
def test_each_node_with_each_kind(node: str, value: object) -> None:
    """Those that chance may not draw."""
    house = House()
    house.project.tree[node] = value
    project: Any = house.project
    with structlog.testing.capture_logs() as logs:
        check_all_get_on(house)
        Forgetter(project, Registry(keep_days=1), now_ms=lambda: SERVER_NOW).round()
    assert [one for one in logs if one["event"].endswith("_failed")] == []

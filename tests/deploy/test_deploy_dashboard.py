"""The Grafana dashboard asks for metrics that there are, and its panels have room of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.metric_names import exported, selectors, unknown

ROOT = Path(__file__).parent.parent.parent
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/narrator-daemon.json").read_text())

#: Parts of a histogram's name that its family has not.
_PARTS = re.compile(r"_(bucket|sum|count)$")

#: What a panel may leave out: it is shown as part of another number.
_NOT_SHOWN = {
    "narrator_ready",
    "narrator_live",
    "narrator_loaded",
    "narrator_books_stuck",
    "narrator_leases_held",
    "narrator_queue_depth",
    "narrator_oldest_request_age_seconds",
    "narrator_gpu_memory_reserved_bytes",
}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = DASHBOARD["panels"]
    return found


def expressions() -> Iterator[str]:
    """Each query, with Grafana's variables as Prometheus would see them."""
    for panel in panels():
        for target in panel.get("targets", []):
            text = target["expr"].replace("$__rate_interval", "5m")
            yield text.replace("$instance", ".*")


def test_each_query_asks_for_metrics_and_labels_that_there_are() -> None:
    found = list(expressions())
    assert len(found) > 20
    assert {text: wrong for text in found if (wrong := unknown(text))} == {}
    # What a legend names is what a query is grouped by, or a label of the metric itself.
    for panel in panels():
        for target in panel.get("targets", []):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
                known = exported().get(selectors(_plain(target["expr"]))[0][0], set())
                names = {name.strip() for group in grouped for name in group.split(",")}
                assert label in (names or known | {"instance", "folder"}), target["expr"]


def _plain(expression: str) -> str:
    return expression.replace("$__rate_interval", "5m")


def test_no_metric_of_the_daemon_is_left_out_by_chance() -> None:
    shown = {name for text in expressions() for name, _ in selectors(text)}
    families = {_PARTS.sub("", name) for name in shown}
    ours = {_PARTS.sub("", name) for name in exported() if name.startswith("narrator_")}
    assert ours - families == _NOT_SHOWN


def test_nothing_is_named_that_only_one_grafana_has() -> None:
    sources = {
        json.dumps(place["datasource"])
        for place in [*panels(), *_queries()]
        if "datasource" in place
    }
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert "id" not in DASHBOARD and DASHBOARD["uid"] == "narrator-daemon"


def _queries() -> list[dict[str, Any]]:
    return [target for panel in panels() for target in panel.get("targets", [])]


def test_panels_have_ids_of_their_own_and_room_of_their_own() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_panel_says_its_unit(panel: dict[str, Any]) -> None:
    if panel["type"] == "row":
        return
    unit = panel["fieldConfig"]["defaults"]["unit"]
    text = " ".join(target["expr"] for target in panel["targets"])
    if "_seconds" in text and "* 3600" not in text:
        assert unit == "s"
    if " / " in text and "_seconds" not in text:
        assert unit == "percentunit"

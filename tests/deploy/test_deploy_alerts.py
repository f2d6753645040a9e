"""The alert rules: of metrics that there are, and each with a page that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.metric_names import selectors, unknown

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
RUNBOOK = ROOT / "docs/operate/alerts.md"
MOST_WIDTH = 160


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def anchors(text: str) -> list[str]:
    """Of the headings of a page, as the site makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    ]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert selectors(rule["expr"])
    assert unknown(rule["expr"]) == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert len(notes["summary"]) < MOST_WIDTH and notes["description"].endswith(".")
    address, _, anchor = notes["runbook_url"].partition("#")
    assert address == "https://narrator-daemon.example/operate/alerts.html"
    assert anchor == rule["alert"].lower()


def test_each_alert_has_one_place_in_the_runbook_and_none_is_left_over() -> None:
    told = [heading for heading in anchors(RUNBOOK.read_text()) if heading.startswith("narrator")]
    assert sorted(told) == sorted(rule["alert"].lower() for rule in rules())

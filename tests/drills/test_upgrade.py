"""A fleet is upgraded while it works."""

from __future__ import annotations

from pathlib import Path

from tests.drills import upgrade


def test_a_fleet_with_other_settings_takes_over(tmp_path: Path) -> None:
    result = upgrade.run(tmp_path, daemons=2, books=8)
    assert result.violations == []
    counts = result.counts
    assert counts["published"] == 8
    # What is told here was really hit: work was given back, and lost, and gone on with.
    assert counts["given_back"] >= 1
    assert counts["lost"] >= 1
    assert counts["second_attempts"] >= 1
    assert counts["handed_over"] >= 1

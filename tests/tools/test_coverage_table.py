from __future__ import annotations

import json
from pathlib import Path

import pytest

import coverage_table


def _file(lines: int, covered: int, branches: int = 0, ways: int = 0) -> dict[str, object]:
    return {
        "summary": {
            "num_statements": lines,
            "covered_lines": covered,
            "num_branches": branches,
            "covered_branches": ways,
            "percent_covered": 12.5,
            "percent_covered_display": "12",
        }
    }


FILES = {
    "csm/audio.py": _file(10, 9),
    "csm/text/rules.py": _file(20, 10, 4, 1),
    "csm/text/deeper/more.py": _file(20, 20, 4, 4),
    "narrator_daemon/clock.py": _file(0, 0),
}


def test_files_are_added_up_by_their_folders() -> None:
    found = coverage_table.packages(FILES)
    assert list(found) == ["csm", "csm/text", "narrator_daemon"]
    assert coverage_table.shares(found["csm/text"]) == (75.0, 62.5)
    assert coverage_table.shares(found["narrator_daemon"]) == (100.0, 100.0)
    *_, last = coverage_table.rows(found)
    assert last == "| all | 50 | 78.0 % | 8 | 62.5 % |"


def test_below_the_floor_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"files": FILES}))
    monkeypatch.setattr(coverage_table, "FLOOR", (78.0, 62.0))
    assert coverage_table.main(path) == 0
    monkeypatch.setattr(coverage_table, "FLOOR", (79.0, 62.0))
    assert coverage_table.main(path) == 1
    assert "lines: 78.0 % of at least 79 %" in capsys.readouterr().err

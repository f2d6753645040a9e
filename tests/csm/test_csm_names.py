"""csm is a library of its own: what it says names none of the daemon's settings or commands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from narrator_daemon.settings import Section, Settings

SOURCES = sorted((Path(__file__).parents[2] / "csm").rglob("*.py"))
NAMES = {
    f"{section}.{key}"
    for section, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    for key in field.annotation.model_fields
}


def test_there_is_something_to_look_for() -> None:
    assert {"speech.slots", "takes.recognise", "limits.max_segment_seconds"} <= NAMES
    assert len(SOURCES) > 40


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_setting_of_the_daemon_is_named(source: Path) -> None:
    strings = [
        node.value
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    told = [
        text
        for text in strings
        if "narrator-daemon" in text
        or any(re.search(rf"(?<![\w.]){re.escape(name)}\b", text) for name in NAMES)
    ]
    assert told == []

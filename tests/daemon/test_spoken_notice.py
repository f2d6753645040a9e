"""A book asks for the spoken notice, or out of it, and the daemon heeds that where it may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from narrator_daemon.claims.claims import Claims
from narrator_daemon.settings import Credentials
from tests.daemon.test_job import Desk


@pytest.mark.parametrize(
    ("books", "choice", "heard"),
    [
        ("all", False, 1),
        ("unless-declined", None, 1),
        ("unless-declined", False, 0),
        ("asked", None, 0),
        ("asked", True, 1),
    ],
)
def test_a_books_choice(tmp_path: Path, books: Any, choice: bool | None, heard: int) -> None:
    desk = Desk(tmp_path)
    said = Credentials(spoken_notice="A machine reads this.", spoken_notice_books=books)
    settings = desk.settings.model_copy(update={"credentials": said})
    project: Any = desk.project
    desk.claims = Claims(project, settings, "voice", lambda *_: False, desk.leases)
    desk.context = replace(desk.context, settings=settings, claims=desk.claims)
    desk.edit(narrativeAudioNotice=choice) if choice is not None else None
    ending = desk.run()
    assert ending.published
    assert ending.facts.get("notices", 0) == heard
    assert desk.book.get("narrativeAudioNotice") == choice

"""The demonstration beside files that were marked before it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from narrator_daemon.commands import demo
from narrator_daemon.marks import ledger


@pytest.fixture
def handler() -> Iterator[None]:
    """The demonstration sets its own for SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("handler")
def test_no_index_of_a_file_that_is_there_is_given_to_another_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRATOR_SPEECH__ENGINE", "tone")
    book = {"title": "A tale", "narrative": "A tale of an example, and not a long one."}
    monkeypatch.setattr(demo, "example_books", lambda: {"tale": book, "mine": book})
    # One of them is no key of a database.
    ledger.write_marks(tmp_path, {1: "mine", 7: "my.own/tale"})
    assert demo.run(tmp_path, keep=False, page=False) == 0
    known = ledger.read_marks(tmp_path)
    assert known == {1: "mine", 7: "my.own/tale", 8: "tale"}

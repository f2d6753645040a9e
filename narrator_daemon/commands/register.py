"""The register, written out: ``narrator-daemon register export``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from narrator_daemon.catalogue import REGISTER
from narrator_daemon.firebase import books, register
from narrator_daemon.firebase.project import Project
from narrator_daemon.settings import Settings

#: Entries that are read at once, some 700 bytes each.
_PAGE = 500


def export(settings: Settings, out: TextIO, book_id: str | None) -> int:
    """Write the register as one JSON object; gives how many entries there are.

    Args:
        settings: where the database is.
        out: where to.
        book_id: whose entries; None for all.

    Raises:
        ConfigError: no database is configured.
        Unavailable: it did not answer.
    """
    count = 0
    with Project(settings) as project:
        out.write("{")
        for count, (token, entry) in enumerate(_entries(project, book_id), 1):
            out.write("\n" if count == 1 else ",\n")
            out.write(f"{json.dumps(token)}: {json.dumps(entry, sort_keys=True)}")
        out.write("\n}\n")
    return count


def export_file(settings: Settings, path: Path, book_id: str | None) -> int:
    """Write the register to a file, which is there once it is whole; as ``export``."""
    new = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with new.open("w", encoding="utf-8") as out:
            count = export(settings, out, book_id)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return count


def _entries(project: Project, book_id: str | None) -> Iterator[tuple[str, Any]]:
    if book_id is not None:
        yield from register.of_book(project, book_id).items()
        return
    after = ""
    while found := books.page(project, REGISTER, after, _PAGE):
        yield from found.items()
        after = list(found)[-1]

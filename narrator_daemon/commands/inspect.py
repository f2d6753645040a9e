"""Files looked at in all layers at once: ``narrator-daemon inspect``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from narrator_daemon.credentials.labels import read_label
from narrator_daemon.credentials.reading import FoundCredentials, Trust, read_credentials
from narrator_daemon.errors import Unavailable, Unreadable
from narrator_daemon.marks import keys as key_files
from narrator_daemon.marks import ledger
from narrator_daemon.marks.detect import Finding, Search, public_mark_in
from narrator_daemon.marks.keys import NamedKey
from narrator_daemon.marks.originals import Originals
from narrator_daemon.marks.provenance import Inspection, Layers, judge
from narrator_daemon.settings import Settings


class Inspector:
    """Looks at any number of files.

    Args:
        settings: where the database is, and whom to trust.
        keys: to look for secret marks with.
        trust: whose certificates are believed.
        thorough: as for ``watermark.detect``.
        originals: the narrations that files are held against; default: those of the database.
    """

    def __init__(
        self,
        settings: Settings,
        keys: Sequence[NamedKey],
        trust: Trust,
        *,
        thorough: bool = False,
        originals: Originals | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._trust = trust
        self._thorough = thorough
        self._originals = originals or Originals(settings)
        self._tables: dict[Path, ledger.Tables] = {}
        self._searches: dict[Path, Search] = {}

    def inspect(self, path: Path) -> Inspection:
        """Look at one file.

        Raises:
            Unreadable: it cannot be read.
            ConfigError: the ``marks.json`` beside it cannot be used.
        """
        if not path.is_file():
            raise Unreadable("is not a file", where=str(path))
        try:
            credentials = read_credentials(path, self._trust)
            label = read_label(path)
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}", where=str(path)) from None
        mark = self._look_for_mark(path, credentials)
        public = list(self._keys) == [key_files.PUBLIC]
        compared = tuple(self._originals.all_compared(mark))
        heard = public_mark_in(path)
        return judge(Layers(path, credentials, label, heard, mark, public, compared))

    def _look_for_mark(self, path: Path, credentials: FoundCredentials | None) -> Finding:
        tables = self._tables_beside(path.parent)
        told = None if credentials is None else credentials.index
        if told is None or told in tables.known:
            if path.parent not in self._searches:
                self._searches[path.parent] = Search(self._keys, tables, thorough=self._thorough)
            return self._searches[path.parent].examine(path)
        # What the credentials speak of is found with less sound where it is looked for.
        candidates = [*tables.known, told]
        return Search(self._keys, tables, candidates, thorough=self._thorough).examine(path)

    def _tables_beside(self, folder: Path) -> ledger.Tables:
        if folder not in self._tables:
            try:
                self._tables[folder] = ledger.known_marks(self._settings, folder)
            except Unavailable as error:
                # The other layers need no database.
                note = f"the database's table could not be asked: {error}"
                self._tables[folder] = ledger.Tables({}, note)
        return self._tables[folder]

"""``narrator-daemon emulator``: a local Firebase until it is told to stop, and its exports."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from narrator_daemon.emulator.database.databases import UnknownDatabaseError, is_name
from narrator_daemon.emulator.database.disk import import_file
from narrator_daemon.emulator.server import EmulatorError, LocalFirebase


@dataclass(frozen=True, slots=True)
class ExportFile:
    """An export of one database, as the command line names it: ``[NAMESPACE=]FILE``.

    Attributes:
        namespace: the database; None for the default one.
        file: where the export is.
    """

    namespace: str | None
    file: Path

    @classmethod
    def parse(cls, text: str) -> ExportFile:
        """What the command line names. A file whose own name has a ``=`` is given as ``./a=b``."""
        name, equals, file = text.partition("=")
        return cls(name, Path(file)) if equals and is_name(name) else cls(None, Path(text))


def serve(
    host: str = "127.0.0.1",
    database_port: int = 0,
    storage_port: int = 0,
    namespace: str = "demo-books",
    bucket: str = "demo-books.appspot.com",
    rules: Path | None = None,
    storage_rules: Path | None = None,
    data: Path | None = None,
    import_from: Iterable[str] = (),
    export_to: Iterable[str] = (),
) -> None:
    """Run a local Firebase until SIGTERM or SIGINT; the arguments are `LocalFirebase`'s.

    Beyond those, ``import_from`` names exports that take the place of what their databases hold,
    and ``export_to`` names where exports are written in the end, each as ``[NAMESPACE=]FILE``.

    Prints one line of JSON, the `Endpoints`, on standard output when it is ready. To be called on
    the main thread.

    Raises:
        EmulatorError: it cannot start, or not export.
        DamagedDataError: what is to be imported is no database.
    """
    sources = [ExportFile.parse(text) for text in import_from]
    targets = [ExportFile.parse(text) for text in export_to]
    imports = [(source.namespace, import_file(source.file)) for source in sources]
    for target in targets:
        if target.file.is_dir() or not target.file.parent.is_dir():
            raise EmulatorError(
                f"cannot export to {target.file}: not a file in a folder that exists"
            )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    firebase = LocalFirebase(
        host,
        database_port,
        storage_port,
        namespace,
        bucket,
        rules=rules,
        storage_rules=storage_rules,
        data=data,
    )
    try:
        with firebase:
            for name, value in imports:
                firebase.load("/", value, name)
            print(json.dumps(firebase.endpoints), flush=True, file=sys.stdout)
            stop.wait()
        for target in targets:
            firebase.export(target.file, target.namespace)
    except UnknownDatabaseError as error:
        raise EmulatorError(str(error)) from None

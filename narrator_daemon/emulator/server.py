"""The local Firebase as a whole: database and storage, started and stopped together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict, TypeVar

try:
    from aiohttp import web
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ImportError(
        "the local Firebase needs more packages: pip install 'narrator-daemon[emulator]'"
    ) from error

from narrator_daemon.direct import without_proxy
from narrator_daemon.emulator import page_files
from narrator_daemon.emulator.database.caller import Caller
from narrator_daemon.emulator.database.database import Database
from narrator_daemon.emulator.database.databases import Databases
from narrator_daemon.emulator.database.disk import write_export
from narrator_daemon.emulator.database.rules import InvalidRulesError, Rules, default_rules
from narrator_daemon.emulator.database.tree import Commit
from narrator_daemon.emulator.harness.control import Control
from narrator_daemon.emulator.harness.faults import Faults
from narrator_daemon.emulator.harness.gateway import CONTROL, Gateway, Handler
from narrator_daemon.emulator.harness.target import request_log
from narrator_daemon.emulator.harness.traffic import Kind, Traffic
from narrator_daemon.emulator.protocols import rest, websocket
from narrator_daemon.emulator.protocols.connections import Connections
from narrator_daemon.emulator.protocols.event_stream import EventStreams
from narrator_daemon.emulator.protocols.rest import MAX_WRITE_BYTES, RestApi
from narrator_daemon.emulator.protocols.websocket import WebSocketApi
from narrator_daemon.emulator.storage.rules import StorageRules
from narrator_daemon.emulator.storage.rules import default_rules as default_storage_rules
from narrator_daemon.emulator.storage.rules_language import StorageRulesError
from narrator_daemon.emulator.storage.service import StorageService, kind_of
from narrator_daemon.errors import NarratorError

T = TypeVar("T")

#: How long requests in work may take when the server stops.
_SHUTDOWN_SECONDS = 1.0


class Endpoints(TypedDict):
    """Where a local Firebase answers; what ``narrator-daemon emulator`` prints.

    Attributes:
        database_host: host and port.
        database_url: for ``databaseURL`` of an SDK.
        storage_url: for ``STORAGE_EMULATOR_HOST``; empty without storage.
        namespace: the name of the default database.
        bucket: the bucket that is there from the start.
    """

    database_host: str
    database_url: str
    storage_url: str
    namespace: str
    bucket: str


class EmulatorError(NarratorError):
    """The local Firebase cannot start; the text says why and what to do."""


class LocalFirebase:
    """A Realtime Database and a Cloud Storage on this machine, for as long as the ``with`` lasts.

    >>> with LocalFirebase(storage=False) as firebase:
    ...     firebase.load("/books/emma", {"narrative": "Emma Woodhouse, handsome, clever…"})
    ...     host = firebase.endpoints["database_host"]

    It runs in a thread of this process.

    Args:
        host: address to listen on. Anything but loopback lets others in, who need no password.
        database_port: 0 picks one.
        storage_port: 0 picks one.
        namespace: the name of the database that is meant where ``?ns=`` names none. Any other
            name is a database of its own, made when it is first used.
        bucket: made at the start.
        rules: a rules file, or its content; None for rules that follow the narration contract.
            They hold for every database that is given none of its own.
        storage_rules: a storage rules file, or its text; None for rules under which clients reach
            narrations by their download tokens alone.
        data: folder that keeps databases and objects between runs; None forgets them.
        keep_alive_seconds: how often a stream without events says that it is alive.
        storage: False for the database alone.

    Attributes:
        faults: what goes wrong on demand.
        traffic: what went over the wire so far.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        database_port: int = 0,
        storage_port: int = 0,
        namespace: str = "demo-books",
        bucket: str = "demo-books.appspot.com",
        rules: Path | Mapping[str, Any] | None = None,
        storage_rules: Path | str | None = None,
        data: Path | None = None,
        keep_alive_seconds: float = 30.0,
        storage: bool = True,
    ) -> None:
        self._host = host
        self._ports = (database_port, storage_port)
        self._namespace = namespace
        self._bucket = bucket
        self._rules = _read_rules(rules)
        self._storage_rules = _read_storage_rules(storage_rules)
        self._data = data
        self._with_storage = storage
        self.traffic = Traffic()
        self.faults = Faults(self._act_on_streams)
        self._keep_alive_seconds = keep_alive_seconds
        self._connections = Connections()
        self._databases: Databases
        self._endpoints: Endpoints | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LocalFirebase:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Where it answers."""
        if self._endpoints is None:
            raise EmulatorError("the local Firebase is not running; use it as a context manager")
        return self._endpoints

    @property
    def page_url(self) -> str:
        """Where the demo page is, for browsers of this machine."""
        at = self.endpoints
        return f"http://{at['database_host']}{page_files.PAGE}?ns={at['namespace']}"

    def environment(self) -> dict[str, str]:
        """The variables that point the SDKs here, past any proxy."""
        variables = without_proxy(os.environ)
        variables |= {"FIREBASE_DATABASE_EMULATOR_HOST": self.endpoints["database_host"]}
        if self.endpoints["storage_url"]:
            variables["STORAGE_EMULATOR_HOST"] = self.endpoints["storage_url"]
        return variables

    def load(self, path: str, value: object, namespace: str | None = None) -> None:
        """Set a value without a request, whatever the rules: a quick way to seed a lot.

        Args:
            path: as ``/books``.
            value: anything that could be parsed JSON.
            namespace: the database; None for the default one.

        Raises:
            UnknownDatabaseError: no database can be called so.
        """

        async def load() -> None:
            parts = tuple(part for part in path.split("/") if part)
            self._databases.named(namespace).set(Caller(admin=True), parts, value)

        self._run(load())

    def export(self, file: Path, namespace: str | None = None) -> None:
        """Write a whole database as its own JSON, priorities included; also once it is stopped.

        Args:
            file: where to.
            namespace: the database; None for the default one.

        Raises:
            EmulatorError: the file cannot be written.
            UnknownDatabaseError: no database can be called so.
        """

        async def whole() -> None:
            write_export(file, self._databases.named(namespace).tree.root)

        try:
            if self._endpoints is None:
                # Its loop has ended: nobody else is at the tree.
                asyncio.run(whole())
            else:
                self._run(whole())
        except OSError as error:
            raise EmulatorError(f"cannot export to {file}: {error.strerror}") from error

    def start(self) -> LocalFirebase:
        """Start listening.

        Raises:
            EmulatorError: a port is taken, or the storage server does not start.
        """
        ready: Future[Endpoints] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(ready)), name="local-firebase", daemon=True
        )
        self._thread.start()
        try:
            self._endpoints = ready.result()
        except OSError as error:
            self._thread.join()
            raise EmulatorError(f"cannot listen on {self._host}: {error.strerror}") from error
        except BaseException:
            self._thread.join()
            raise
        return self

    def stop(self) -> None:
        """End every connection and stop. Safe to call twice."""
        if self._thread is not None and self._endpoints is not None:
            self._endpoints = None
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self, work: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wrapped(), self._loop).result()

    def _act_on_streams(self, action: str, path: re.Pattern[str]) -> int:
        def act() -> int:
            acts = {
                "cancel_streams": self._connections.cancel,
                "revoke_streams": self._connections.revoke,
                "end_streams": self._connections.drop,
            }
            return acts[action](lambda where: path.search(where) is not None)

        if threading.current_thread() is self._thread:
            return act()

        async def later() -> int:
            return act()

        return self._run(later())

    async def _main(self, ready: Future[Endpoints]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        undo: list[Callable[[], Awaitable[None]]] = []
        try:
            ready.set_result(await self._open(undo))
            await self._stop.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            self._connections.end_all()
            for step in reversed(undo):
                await step()

    async def _open(self, undo: list[Callable[[], Awaitable[None]]]) -> Endpoints:
        self._databases = Databases(self._namespace, self._rules, self._data, self._watch)

        async def close_databases() -> None:
            self._databases.close()

        undo.append(close_databases)
        sockets, api = self._apis()
        control = Control(self.faults, self.traffic)

        async def database_handler(request: web.Request) -> web.StreamResponse:
            if request.path.startswith(CONTROL):
                return await control.handle(request)
            if request.path.startswith(page_files.PAGE):
                return page_files.answer(request)
            if request.path == websocket.PATH:
                return await sockets.handle(request)
            if request.path == websocket.LONG_POLLING_PATH:
                return websocket.back_to_websocket(request)
            return await api.handle(request)

        database = await self._listen(
            "database", database_handler, _database_kind_of, self._ports[0], undo
        )
        storage_url = await self._open_storage(undo) if self._with_storage else ""
        return Endpoints(
            database_host=database,
            database_url=f"http://{database}?ns={self._namespace}",
            storage_url=storage_url,
            namespace=self._namespace,
            bucket=self._bucket,
        )

    def _watch(self, database: Database) -> None:
        """Have the listeners of a database checked when they may have lost their right."""

        def check(_: Commit) -> None:
            if database.rules.reads_depend_on_data:
                self._connections.check(database)

        database.rules_changed.append(lambda: self._connections.check(database))
        database.committed.append(check)

    def _apis(self) -> tuple[WebSocketApi, RestApi]:
        streams = EventStreams(
            self._connections, self._keep_alive_seconds, self.traffic, self.faults.silenced
        )
        sockets = WebSocketApi(
            self._databases,
            self._connections,
            self._keep_alive_seconds,
            self.traffic,
            self.faults.silenced,
        )
        return sockets, RestApi(self._databases, streams)

    async def _open_storage(self, undo: list[Callable[[], Awaitable[None]]]) -> str:
        service: StorageService

        async def storage_handler(request: web.Request) -> web.StreamResponse:
            return await service.handle(request)

        address = await self._listen("storage", storage_handler, kind_of, self._ports[1], undo)
        folder = None if self._data is None else self._data / "storage"
        service = StorageService(self._bucket, f"http://{address}", self._storage_rules, folder)
        return f"http://{address}"

    async def _listen(
        self,
        service: str,
        handler: Handler,
        kind_of: Callable[[web.Request], Kind],
        port: int,
        undo: list[Callable[[], Awaitable[None]]],
    ) -> str:
        app = web.Application(client_max_size=MAX_WRITE_BYTES)
        gateway = Gateway(service, self.faults, self.traffic, handler, kind_of)
        app.router.add_route("*", "/{path:.*}", gateway.handle)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=request_log(f"{__name__}.{service}"),
            # What is stored packed stays packed.
            auto_decompress=service != "storage",
            shutdown_timeout=_SHUTDOWN_SECONDS,
            # A client that hangs up frees its listener at once.
            handler_cancellation=True,
        )
        await runner.setup()
        undo.append(runner.cleanup)
        await web.TCPSite(runner, self._host, port, reuse_address=True).start()
        bound = runner.addresses[0][1]
        # An address that listens everywhere is no address to connect to.
        name = "127.0.0.1" if self._host in ("", "0.0.0.0", "::") else self._host  # noqa: S104
        return f"[{name}]:{bound}" if ":" in name else f"{name}:{bound}"


def _database_kind_of(request: web.Request) -> Kind:
    return websocket.KIND if request.path == websocket.PATH else rest.kind_of(request)


def _read_rules(rules: Path | Mapping[str, Any] | None) -> Rules:
    if rules is None:
        return Rules(default_rules())
    if isinstance(rules, Mapping):
        return Rules(json.dumps(rules, indent=2))
    try:
        return Rules(_read_text(rules, "the rules"))
    except InvalidRulesError as error:
        raise InvalidRulesError(f"cannot use the rules: {rules}: {error}") from error


def _read_storage_rules(rules: Path | str | None) -> StorageRules:
    if rules is None:
        return StorageRules(default_storage_rules())
    text = _read_text(rules, "the storage rules") if isinstance(rules, Path) else rules
    try:
        return StorageRules(text)
    except StorageRulesError as error:
        where = f"{rules}: " if isinstance(rules, Path) else ""
        raise EmulatorError(f"cannot use the storage rules: {where}{error}") from error


def _read_text(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"cannot read {what}: {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EmulatorError(f"cannot read {what}: {file}: is not UTF-8 text") from error

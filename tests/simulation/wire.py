"""What lies between a process and the services: latency, lost answers, refusals, crashes."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import requests
from firebase_admin import db
from google.api_core import exceptions as google_api
from google.cloud.storage.exceptions import DataCorruption

from narrator_daemon.emulator.database.caller import Caller
from tests.simulation import faults
from tests.simulation.database import Denied, Path, Writes, copied, parse_query
from tests.simulation.scheduler import Process, Task, current

if TYPE_CHECKING:
    from tests.simulation.world import World

#: As the SDK's session is set up: connections, answers, and statuses 500 and 503 that it repeats.
_RESENDS, _RESENDS_OF_STATUS = 1, 4

DAEMON = Caller(auth={"uid": "narrator-daemon", "token": {}})


@lru_cache(4096)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


class Answer:
    """A response, as far as the SDK looks at one."""

    def __init__(self, status: int, value: Any = None, etag: str | None = None) -> None:
        self.status_code = status
        self.headers = {} if etag is None else {"ETag": etag}
        self._value = value

    @property
    def content(self) -> bytes:
        return json.dumps(self._value).encode()

    def json(self) -> Any:
        return copied(self._value)


class Client(db._Client):  # type: ignore[misc]
    """The SDK's client over the wire."""

    def __init__(self, wire: Wire, clock: Any) -> None:
        self._wire = wire
        self._clock = clock

    def request(self, method: str, url: str, **kwargs: Any) -> Answer:
        world = self._wire.world
        began = world.scheduler.now
        path = tuple(part for part in url.removesuffix(".json").split("/") if part)
        try:
            answer = self._wire.database(method, path, kwargs)
        except requests.RequestException as error:
            raise self.handle_rtdb_error(error) from error
        if answer.status_code < 500:
            self._clock.take_in(_date(int(world.now())), world.scheduler.now - began)
        if answer.status_code >= 400:
            failed = requests.HTTPError(f"{answer.status_code}", response=answer)  # type: ignore[arg-type]
            raise self.handle_rtdb_error(failed)
        return answer


class Wire:
    """The way from one process to the services.

    Args:
        world: the services, and what goes wrong.
        process: whose.
        old: whether the process is of an earlier version, which does not write what came since.
    """

    def __init__(self, world: World, process: Process, *, old: bool = False) -> None:
        self.world = world
        self._process = process
        self._old = old

    # The database.

    def database(self, method: str, path: Path, given: dict[str, Any]) -> Answer:
        """One request of the SDK: sent, and sent again as its session does.

        Raises:
            requests.RequestException: no answer came.
        """
        task, scheduler = current(), self.world.scheduler
        rate = self.world.plan.rate
        if method == "put" and path[0] == "books":
            rate *= 4  # where it matters most
        kind = self.world.faults.at(task, faults.READS if method == "get" else faults.WRITES, rate)
        resends, statuses = _RESENDS, _RESENDS_OF_STATUS
        while True:
            try:
                answer = self._send(method, path, given, kind, task)
            except requests.ConnectionError:
                if not resends:
                    raise
                resends -= 1
                # At once where a connection was cut, late where an answer did not come.
                scheduler.sleep(task.dice.choice((0.02, 0.5, 3.0)))
                if kind is not None and not kind.startswith("gone"):
                    kind = None
                continue
            if answer.status_code in (500, 503) and statuses:
                statuses -= 1
                scheduler.sleep(0.1)
                continue
            return answer

    def _send(
        self, method: str, path: Path, given: dict[str, Any], kind: str | None, task: Task
    ) -> Answer:
        world = self.world
        scheduler = world.scheduler
        before, after = self._latencies(kind, task)
        self._process_fault(kind, "before", task)
        scheduler.sleep(before)
        if world.is_cut("database", self._process):
            raise requests.ConnectionError("Connection refused")
        if kind in ("lost once before", "gone before"):
            raise requests.ConnectionError("Connection reset")
        if kind == "busy":
            return Answer(503, {"error": "busy"})
        if kind == "too many":
            return Answer(429, {"error": "too many"})
        if kind == "comes late":
            world.later(task, lambda: self._apply(method, path, given))
            raise requests.ReadTimeout("Read timed out")
        world.request_fault = kind
        answer = self._apply(method, path, given)
        world.request_fault = None
        if kind == "comes twice":
            world.later(task, lambda: self._apply(method, path, given))
        if kind in ("lost once after", "gone after"):
            raise requests.ConnectionError("Connection reset")
        self._process_fault(kind, "after", task)
        scheduler.sleep(after)
        return answer

    def _latencies(self, kind: str | None, task: Task) -> tuple[float, float]:
        dice = task.dice
        most = self.world.plan.latency
        before, after = most * dice.random() ** 2, most * dice.random() ** 2
        slow = dice.choice((0.3, 1.0, 2.5))
        if kind == "slow before":
            before += slow
        if kind == "slow after":
            after += slow
        return before, after

    def _process_fault(self, kind: str | None, when: str, task: Task) -> None:
        """What happens to the process just then."""
        if kind == f"crash {when}":
            self.world.crash(self._process)
        elif kind == f"pause {when}":
            self.world.pause(self._process, task.dice.choice((0.4, 1.1, 1.6, 2.5)))
            self.world.scheduler.sleep(0.0)

    def _apply(self, method: str, path: Path, given: dict[str, Any]) -> Answer:
        """What the service does with a request that has arrived."""
        world, database = self.world, self.world.database
        if world.is_closed("database"):
            return Answer(403, {"error": "Permission denied"})
        headers, params = given.get("headers") or {}, given.get("params") or ""
        if method == "get":
            value = database.get(path)
            if "orderBy" in params:
                query = parse_query(params)
                return Answer(200, query.run(value) or None if query else value)
            if "shallow" in params:
                value = dict.fromkeys(value, True) if isinstance(value, dict) else value
                return Answer(200, value)
            wanted = headers.get("if-none-match")
            if wanted is not None and database.is_named(wanted, value):
                return Answer(304)
            named = "X-Firebase-ETag" in headers or wanted is not None
            return Answer(200, value, database.etag(value) if named else None)
        if world.is_refused(path, self._process):
            return Answer(403, {"error": "Permission denied"})
        if method == "put" and (expected := headers.get("if-match")) is not None:
            value = database.get(path)
            if not database.is_named(expected, value):
                return Answer(412, value, database.etag(value))
        writes = self._writes(method, path, given.get("json"))
        try:
            world.writing(self._process, writes)
            database.write(writes, None if database.rules is None else DAEMON)
        except Denied:
            world.denied(self._process, writes)
            return Answer(403, {"error": "Permission denied"})
        finally:
            world.written()
        if path[0] == "books" and len(path) == 2:
            world.frontend.meddle(path)
        return Answer(200, given.get("json"))

    def _writes(self, method: str, path: Path, value: Any) -> Writes:
        if method == "delete":
            return [(path, None)]
        if method == "patch":
            return [((*path, *name.split("/")), child) for name, child in value.items()]
        if self._old:
            value = _of_an_earlier_version(path, value)
        return [(path, value)]

    # Storage.

    def storage(self, what: str, name: str, apply: Callable[[], Any]) -> Any:
        """One request to the bucket."""
        task, world = current(), self.world
        kind = world.faults.at(task, faults.UPLOADS if what == "create" else faults.READS)
        before, after = self._latencies(kind, task)
        self._process_fault(kind, "before", task)
        world.scheduler.sleep(2 * before)
        if world.is_cut("storage", self._process) or kind in ("lost once before", "gone before"):
            raise requests.ConnectionError("Connection refused")
        if world.is_closed("storage") or kind == "forbidden":
            world.refused_object(name)
            raise google_api.Forbidden("forbidden")
        if kind == "busy":
            raise google_api.ServiceUnavailable("busy")
        if kind == "comes late":
            world.later(task, apply, quiet=google_api.GoogleAPICallError)
            raise requests.ReadTimeout("Read timed out")
        found = apply()
        if kind == "corrupt":
            world.objects.by_name.pop(name, None)
            raise DataCorruption(None, "doesn't match calculated")
        if kind in ("lost once after", "gone after"):
            raise requests.ConnectionError("Connection reset")
        self._process_fault(kind, "after", task)
        world.scheduler.sleep(after)
        self._clock_of_bucket(before + after)
        return found

    def _clock_of_bucket(self, seconds: float) -> None:
        project = self.world.projects.get(self._process.name)
        if project is not None:
            project.bucket_clock.take_in(_date(int(self.world.now())), seconds)


def _of_an_earlier_version(path: Path, value: Any) -> Any:
    """What a version wrote that knew no lifetime in leases and no hash of the text in claims."""
    if path[0] == "narrationLeases" and isinstance(value, dict):
        return {key: child for key, child in value.items() if key != "ttl"}
    claim = value.get("narrativeAudioClaim") if isinstance(value, dict) else None
    if path[0] == "books" and isinstance(claim, dict):
        older = {key: child for key, child in claim.items() if key != "textHash"}
        return {**value, "narrativeAudioClaim": older}
    return value

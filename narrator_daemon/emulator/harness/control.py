"""The local Firebase's own endpoints, for other processes: faults and traffic.

``/.emulator/faults`` (GET, POST, DELETE) and ``/.emulator/traffic`` (GET, DELETE) on the
database's port, with ``Authorization: Bearer owner``. No database path can begin so.
"""

from __future__ import annotations

import json
import re

from aiohttp import web

from narrator_daemon.emulator.database.caller import InvalidTokenError, identify
from narrator_daemon.emulator.harness.faults import (
    STREAM_ACTIONS,
    Faults,
    InvalidFaultError,
    parse_fault,
)
from narrator_daemon.emulator.harness.gateway import CONTROL
from narrator_daemon.emulator.harness.traffic import Traffic


class Control:
    """Answers requests below ``/.emulator/``."""

    def __init__(self, faults: Faults, traffic: Traffic) -> None:
        self._faults = faults
        self._traffic = traffic

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        try:
            admin = identify(request.headers.get("Authorization"), request.query).admin
        except InvalidTokenError:
            admin = False
        if not admin:
            return web.json_response({"error": "Permission denied"}, status=401)
        try:
            return await self._answer(request)
        except (InvalidFaultError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)

    async def _answer(self, request: web.Request) -> web.Response:
        what = (request.path.removeprefix(CONTROL), request.method)
        if what == ("faults", "GET"):
            return web.json_response(self._faults.list())
        if what == ("faults", "POST"):
            return self._add(json.loads(await request.read()))
        if what == ("faults", "DELETE"):
            number = request.query.get("id")
            self._faults.clear(None if number is None else int(number))
            return web.json_response(None)
        if what == ("traffic", "GET"):
            return web.json_response(self._traffic.rows())
        if what == ("traffic", "DELETE"):
            self._traffic.reset()
            return web.json_response(None)
        return web.json_response({"error": "Not found"}, status=404)

    def _add(self, raw: object) -> web.Response:
        if not isinstance(raw, dict) or raw.get("kind") not in STREAM_ACTIONS:
            return web.json_response({"id": self._faults.add(parse_fault(raw))})
        path = raw.get("path", "")
        if raw.keys() - {"kind", "path"} or not isinstance(path, str):
            raise InvalidFaultError(f"{raw['kind']} takes a `path` pattern and nothing else")
        try:
            re.compile(path)
        except re.error as error:
            raise InvalidFaultError(f"bad pattern {path!r}: {error}") from None
        return web.json_response({"streams": getattr(self._faults, raw["kind"])(path)})

"""What every request passes on its way in and out: faults and counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import unquote

from aiohttp import web

from narrator_daemon.emulator.harness.faults import Fault, Faults
from narrator_daemon.emulator.harness.target import raw_path
from narrator_daemon.emulator.harness.traffic import STREAM_KINDS, Kind, Traffic

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Below this path a request is for the local Firebase itself: no fault, no count.
CONTROL = "/.emulator/"
_HANG_POLL_SECONDS = 0.05
_REASONS = {
    401: "Unauthorized request.",
    429: "Too many requests.",
    500: "Internal server error.",
    503: "Service unavailable.",
}


class Gateway:
    """Stands before a service.

    Args:
        service: ``database`` or ``storage``.
        faults: what is to go wrong.
        traffic: where requests are counted.
        handler: the service.
        kind_of: what a request is counted as.
    """

    def __init__(
        self,
        service: str,
        faults: Faults,
        traffic: Traffic,
        handler: Handler,
        kind_of: Callable[[web.Request], Kind],
    ) -> None:
        self._service = service
        self._faults = faults
        self._traffic = traffic
        self._handler = handler
        self._kind_of = kind_of

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Let a request through, or let it go wrong."""
        path = unquote(raw_path(request))
        if path.startswith(CONTROL):
            return await self._handler(request)
        hit = self._faults.take(self._service, _method(request), path.removesuffix(".json"))
        if hit is None:
            return await self._counted(request)
        number, fault = hit
        return await self._go_wrong(request, number, fault)

    async def _counted(self, request: web.Request) -> web.StreamResponse:
        response = await self._handler(request)
        kind = self._kind_of(request)
        body = response.body if isinstance(response, web.Response) else None
        sent = len(body) if isinstance(body, (bytes, bytearray)) else 0
        # A stream has been counted when it began.
        requests = 0 if kind.kind in STREAM_KINDS else 1
        self._traffic.add(kind, requests=requests, received=request.content_length or 0, sent=sent)
        return response

    async def _go_wrong(
        self, request: web.Request, number: int, fault: Fault
    ) -> web.StreamResponse:
        kind = fault.kind
        if kind == "status":
            return self._error(fault.status)
        if kind == "redirect":
            location = fault.to.rstrip("/") + request.raw_path
            return web.Response(status=307, headers={"Location": location})
        if kind == "slow":
            await asyncio.sleep(fault.seconds)
            return await self._counted(request)
        if kind == "hang":
            while self._faults.goes_on(number):
                await asyncio.sleep(_HANG_POLL_SECONDS)
        elif kind == "reset_upload":
            left = fault.after_bytes
            while left > 0 and (chunk := await request.content.read(left)):
                left -= len(chunk)
        elif kind != "refuse":
            response = await self._counted(request)
            if kind == "slow_answer":
                await asyncio.sleep(fault.seconds)
                return response
        if request.transport is not None:
            request.transport.abort()
        # Goes nowhere: the connection is gone.
        return web.Response(status=500)

    def _error(self, status: int) -> web.Response:
        reason = _REASONS.get(status, "Failed on demand.")
        error: object = reason
        if self._service == "storage":
            error = {"code": status, "message": reason}
        return web.Response(
            status=status,
            text=json.dumps({"error": error}),
            content_type="application/json",
            headers={"Access-Control-Allow-Origin": "*"},
        )


def _method(request: web.Request) -> str:
    """The method, as faults name it."""
    if request.method != "GET":
        return request.method
    if "text/event-stream" in request.headers.get("Accept", ""):
        return "STREAM"
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return "WEBSOCKET"
    return "GET"

"""Tells an autoscaler over HTTP how much work there is, while no worker runs that could.

``GET /queue`` answers with the counts of ``narrator_daemon.queue.demand.Demand`` as JSON, 503
while the database does not answer; ``GET /healthz`` with 200 while this process serves; anything
else with 404. Counts name no book and no person.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from narrator_daemon import logs
from narrator_daemon.errors import Unavailable, WrongUse
from narrator_daemon.queue.demand import Demand

#: Seconds for which one count answers all who ask, at least: whoever may ask must not load the
#: database.
_FRESH_SECONDS = 5.0

#: Whoever asks while another count is being made waits for it so many seconds, as autoscalers have
#: little patience, and is given the last one then; for as long as it takes where that is old.
_COUNT_SECONDS, _OLD_SECONDS = 2.0, 300.0

#: Seconds that a client may take over its request.
_PATIENCE_SECONDS = 5.0

_log = logs.get(__name__)


class _Counted:
    """The last count, and until when it answers."""

    def __init__(self, read: Callable[[], Demand], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._changed = threading.Condition()
        self._is_counting = False
        self._answer: tuple[HTTPStatus, dict[str, Any]] = HTTPStatus.SERVICE_UNAVAILABLE, {}
        self._made_at = self._until = float("-inf")

    def answer(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Status and body, of one count for all who ask at the same time."""
        with self._changed:
            now = self._clock()
            if now >= self._until and not self._is_counting:
                self._is_counting = True
                threading.Thread(target=self._count, daemon=True).start()
            is_old = now - self._made_at >= _OLD_SECONDS
            self._changed.wait_for(
                lambda: not self._is_counting, None if is_old else _COUNT_SECONDS
            )
            return self._answer

    def _count(self) -> None:
        seconds = 0.0
        try:
            found = self._read()
            answer = HTTPStatus.OK, found.as_record()
            seconds = found.seconds_between
        except Unavailable as error:
            why = logs.redact(str(error))
            _log.warning("not_counted", why=why)
            # Whoever may ask this is not shown what the database says of us.
            answer = HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the database does not answer"}
        except Exception:
            _log.exception("not_counted")
            answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "it cannot be counted"}
        with self._changed:
            self._answer = answer
            self._made_at = self._clock()
            self._until = self._made_at + max(_FRESH_SECONDS, seconds)
            self._is_counting = False
            self._changed.notify_all()


class DemandServer:
    """An HTTP server; listens from the start.

    Args:
        read: counts.
        host: address to listen on.
        port: 0 picks one.
        clock: monotonic seconds.

    Attributes:
        port: it listens on.

    Raises:
        WrongUse: the address cannot be listened on.
    """

    def __init__(
        self,
        read: Callable[[], Demand],
        host: str,
        port: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        counted = _Counted(read, clock)

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE_SECONDS
            server_version, sys_version = "narrator-daemon", ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/queue":
                    self._say(*counted.answer())
                elif path == "/healthz":
                    self._say(HTTPStatus.OK, {"status": "serving"})
                else:
                    self._say(HTTPStatus.NOT_FOUND, {"error": "there are /queue and /healthz"})

            def _say(self, status: HTTPStatus, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode("ascii")
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: probes ask every few seconds."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise WrongUse(
                f"cannot be listened on: {error.strerror or error}",
                where=f"--serve: {port} on {host}",
                advice="choose another",
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def serve(self) -> None:
        """Answer until ``stop``."""
        self._server.serve_forever(poll_interval=0.2)
        self._server.server_close()

    def stop(self) -> None:
        """End ``serve``, from another thread."""
        self._server.shutdown()


def serve_until_told(server: DemandServer) -> None:
    """Serve until SIGTERM or SIGINT."""

    def stop(_number: int, _frame: object) -> None:
        threading.Thread(target=server.stop, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    _log.info("serving", port=server.port)
    server.serve()

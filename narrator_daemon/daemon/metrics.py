"""Numbers for Prometheus: what the daemon has done, and how it is when it is asked.

Off unless ``[metrics] port`` is set. What happens is counted when it happens; what is (queue,
slots, memory) is read at the scrape, from the same snapshot that ``health`` shows, and asks nothing
of the network. No label carries a book, a worker or a requester, so the number of series is fixed.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from narrator_daemon import __version__, logs
from narrator_daemon.claims.ending import Claimed, Ending
from narrator_daemon.claims.failure import ErrorCode
from narrator_daemon.daemon.desk import Desk
from narrator_daemon.errors import ConfigError
from narrator_daemon.health.ask import HEALTHY, Health, Probe
from narrator_daemon.health.condition import Condition, of_database
from narrator_daemon.queue.reasons import Reason
from narrator_daemon.settings import Metrics as MetricsSettings
from narrator_daemon.speech import HasSlots, SpeechEngine

#: Upper bounds of the histograms, in seconds.
_CLAIM_BUCKETS = (0.05, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 1800, 7200)
_READY_BUCKETS = (1, 3, 10, 20, 30, 45, 60, 120, 300, 600, 1800, 7200)
_STEP_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600)

#: Seconds that a client may take over its request.
_PATIENCE_SECONDS = 5.0

#: Outcomes that every worker has sooner or later: their series begin at 0 and not at the first one.
_OUTCOMES = ("published", "failed", "retried", "given_back", "fenced", "cancelled", "superseded")


_log = logs.get(__name__)


class Metrics:
    """All numbers of one worker; served for as long as its ``with`` lasts.

    Args:
        settings: where they are served.
        ask: gives what an exec probe would be told now.
    """

    def __init__(self, settings: MetricsSettings, ask: Callable[[Probe], Health]) -> None:
        self._settings = settings
        self._ask = ask
        # One more series for each, which no rule here uses.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._server: ThreadingHTTPServer | None = None
        ProcessCollector(registry=self.registry)
        self._books = Counter(
            "narrator_books", "Claims that ended, by outcome.", ["outcome"], registry=self.registry
        )
        self._failures = Counter(
            "narrator_failures",
            "Attempts that went wrong, by error code; most are tried again.",
            ["code"],
            registry=self.registry,
        )
        for outcome in _OUTCOMES:
            self._books.labels(outcome)
        for code in ErrorCode:
            self._failures.labels(code.value)
        self._claimed = Histogram(
            "narrator_claim_latency_seconds",
            "From the request of a book to its first claim.",
            buckets=_CLAIM_BUCKETS,
            registry=self.registry,
        )
        self._ready = Histogram(
            "narrator_request_to_ready_seconds",
            "From the request of a book to its narration.",
            buckets=_READY_BUCKETS,
            registry=self.registry,
        )
        self._steps = Histogram(
            "narrator_step_seconds",
            "What the steps of a narration take.",
            ["step"],
            buckets=_STEP_BUCKETS,
            registry=self.registry,
        )
        self._audio = Counter(
            "narrator_audio_seconds", "Audio that was published.", registry=self.registry
        )
        self._leases_lost = Counter(
            "narrator_lease_losses",
            "Claims lost because their lease was not renewed in time.",
            registry=self.registry,
        )

    def watch(
        self,
        condition: Callable[[], Condition],
        capacity: Callable[[], int],
        engine: SpeechEngine,
        desks: Sequence[Desk],
    ) -> None:
        """Serve how the worker is, too.

        Args:
            condition: gives the worker's condition now.
            capacity: asked for the books it works on at once.
            engine: asked for its slots, where it has any, and for its device.
            desks: count what they upload and the URLs that they renew.
        """
        self.registry.register(_Now(condition, capacity, engine, desks))

    def claimed(self, claimed: Claimed) -> None:
        """Take in a claim; a first one counts, where its request has a time."""
        if claimed.claim.attempt == 1 and claimed.since_request is not None:
            self._claimed.observe(claimed.since_request)

    def ended(self, ending: Ending) -> None:
        """Count a claim that ended."""
        self._books.labels(ending.outcome).inc()
        if ending.failure is not None:
            self._failures.labels(ending.failure.code.value).inc()
        for step, seconds in ending.seconds_by_step.items():
            self._steps.labels(step).observe(seconds)
        if ending.published:
            self._audio.inc(ending.audio_seconds)
            if ending.since_request is not None:
                self._ready.observe(ending.since_request)
        if ending.lease_lost:
            self._leases_lost.inc()

    def __enter__(self) -> Self:
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self) -> None:
        """Answer scrapes at ``http://host:port/metrics`` from a thread of its own.

        ``/healthz`` and ``/readyz`` answer 200 or 503, as ``narrator-daemon health --live`` and
        ``--ready`` do: by what the main loop has said, and when. All else is not found.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        host, port = self._settings.host, self._settings.port
        try:
            self._server = _server(host, port, self._answer)
        except OSError as error:
            raise ConfigError(
                f"{port} on {host} cannot be listened on: {error.strerror or error}",
                where="[metrics] port",
                advice="give each daemon of a machine a port of its own, or 0 for none",
            ) from None
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        _log.info("metrics_served", host=host, port=port)

    def _answer(self, path: str, accepted: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            encode, kind = choose_encoder(accepted)
            return HTTPStatus.OK, kind, encode(self.registry)
        if path in _PROBES:
            health = self._ask(_PROBES[path])
            well = health.exit_code == HEALTHY
            status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
            return status, "text/plain", f"{health.report.get('status')}\n".encode()
        there = f"there are /metrics, {' and '.join(_PROBES)}\n"
        return HTTPStatus.NOT_FOUND, "text/plain", there.encode()

    def close(self) -> None:
        """Answer no more. Safe to call twice."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


#: What each path asks.
_PROBES: dict[str, Probe] = {"/healthz": "live", "/readyz": "ready"}


def _server(
    host: str, port: int, answer: Callable[[str, str], tuple[HTTPStatus, str, bytes]]
) -> ThreadingHTTPServer:
    """A server that listens and does not answer yet.

    Raises:
        OSError: the address cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE_SECONDS
        server_version, sys_version = "narrator-daemon", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, kind, body = answer(path, self.headers.get("Accept", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: scrapes and probes come every few seconds."""

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        daemon_threads = True

    return Server((host, port), Handler)


class _Now(Collector):
    """What is read at the moment of a scrape."""

    def __init__(
        self,
        condition: Callable[[], Condition],
        capacity: Callable[[], int],
        engine: SpeechEngine,
        desks: Sequence[Desk],
    ) -> None:
        self._condition = condition
        self._capacity = capacity
        self._engine = engine
        self._desks = desks

    def collect(self) -> Iterator[Any]:
        now = self._condition()
        build = {"version": __version__, "engine": now.engine}
        yield InfoMetricFamily("narrator_build", "Which program this is.", value=build)
        for name, text, value in (
            ("narrator_healthy", "1 while nothing is wrong.", now.status == "healthy"),
            ("narrator_ready", "1 while it takes books: model loaded, stream open.", now.ready),
            ("narrator_live", "0 once it must be restarted.", now.live),
            ("narrator_loaded", "1 once the model is loaded.", now.loaded),
            ("narrator_queue_depth", "Waiting books known to this worker.", now.queue_depth),
            (
                "narrator_oldest_request_age_seconds",
                "Since the oldest waiting request; 0 where none waits.",
                max(0.0, now.oldest_request or 0.0),
            ),
            (
                "narrator_claimable_age_seconds",
                "Since the oldest request that waits for nothing but a worker with room; or 0.",
                max(0.0, now.claimable_age or 0.0),
            ),
            ("narrator_paused", "1 while an operator keeps it from claiming.", now.control.holds),
            ("narrator_books_in_work", "Books claimed and not ended.", now.in_work),
            ("narrator_books_at_once", "Most books in work at once.", self._capacity()),
            ("narrator_books_stuck", "Books in work that do not get on.", now.stuck),
            ("narrator_leases_held", "Leases that are renewed.", now.leases),
            ("narrator_stream_up", "1 while the stream is open.", now.stream.name == "live"),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))
        yield _filled(
            GaugeMetricFamily(
                "narrator_waiting", "Waiting books known to this worker.", labels=["reason"]
            ),
            {str(reason): now.waiting.get(reason, 0) for reason in Reason},
        )
        yield _filled(
            GaugeMetricFamily(
                "narrator_disk_bytes", "Size of the disk of a folder.", labels=["folder"]
            ),
            {name: total for name, (total, _) in now.rooms.items()},
        )
        yield _filled(
            GaugeMetricFamily("narrator_disk_free_bytes", "What is free of it.", labels=["folder"]),
            {name: free for name, (_, free) in now.rooms.items()},
        )
        for name, text, known in (
            (
                "narrator_clock_offset_seconds",
                "How far this machine's clock is ahead of the database's.",
                now.clock_offset,
            ),
            ("narrator_url_expiry_seconds", "In which no signed URL expires.", now.url_expiry),
        ):
            if known is not None:
                yield GaugeMetricFamily(name, text, value=known)
        failures = CounterMetricFamily(
            "narrator_loop_failures",
            "Rounds of a loop that went wrong by no dependency's fault.",
            labels=["loop"],
        )
        for loop, count in now.loop_failures.items():
            failures.add_metric([loop], count)
        yield failures
        up = GaugeMetricFamily(
            "narrator_dependency_up", "0 while it does not answer.", labels=["dependency"]
        )
        for desk in self._desks:
            for name in desk.dependencies:
                dependency = of_database(name, desk.name)
                up.add_metric([dependency], float(dependency not in now.down))
        yield up
        for name, text, count in (
            (
                "narrator_stream_reconnects",
                "Times the stream was opened anew, renewals included.",
                max(0, now.stream.opened - 1),
            ),
            (
                "narrator_upload_bytes",
                "Audio bytes uploaded.",
                sum(desk.store.uploaded_bytes for desk in self._desks),
            ),
            (
                "narrator_upload_retries",
                "Uploads tried again.",
                sum(desk.store.upload_retries for desk in self._desks),
            ),
            (
                "narrator_url_renewals",
                "URLs signed anew.",
                sum(desk.renewer.renewed for desk in self._desks),
            ),
            (
                "narrator_url_renewal_failures",
                "Times that a URL could not be signed anew.",
                now.renewal_failures,
            ),
        ):
            yield CounterMetricFamily(name, text, value=float(count))
        if now.loaded and isinstance(self._engine, HasSlots):
            slots = self._engine.slots
            yield GaugeMetricFamily(
                "narrator_engine_slots", "Segments spoken at once, at most.", value=slots.total
            )
            yield GaugeMetricFamily(
                "narrator_engine_slots_occupied", "Segments being spoken.", value=slots.occupied
            )
        yield from _gpu(now.device)


def _filled(family: GaugeMetricFamily, values: Mapping[str, float]) -> GaugeMetricFamily:
    """A gauge with one value for each of its label's."""
    for label, value in values.items():
        family.add_metric([label], float(value))
    return family


def _gpu(device: str | None) -> Iterator[GaugeMetricFamily]:
    """Memory and use of the GPU that the engine runs on; nothing on a CPU."""
    torch = sys.modules.get("torch")
    if torch is None or device is None or not device.startswith("cuda"):
        return
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError:
        return  # a GPU that is lost must not take the other numbers with it
    for name, text, value in (
        ("narrator_gpu_memory_bytes", "Memory of the GPU.", total),
        ("narrator_gpu_memory_used_bytes", "Memory in use, by anyone.", total - free),
        (
            "narrator_gpu_memory_reserved_bytes",
            "Memory held by this process's allocator.",
            torch.cuda.memory_reserved(device),
        ),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))
    try:
        busy = torch.cuda.utilization(device) / 100
    except Exception:
        return  # NVIDIA's management library is missing, or does not know it of this GPU
    yield GaugeMetricFamily(
        "narrator_gpu_utilization_ratio", "Share of time in which a kernel ran.", value=busy
    )

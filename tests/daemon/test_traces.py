"""Traces: a span for each step, off by default, and never in a book's way."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from narrator_daemon import config, logs
from narrator_daemon.daemon import traces
from narrator_daemon.errors import ConfigError, NotInstalled
from narrator_daemon.settings import Tracing
from tests.actors import Daemon, Frontend

CLAIM: dict[str, Any] = {"book_id": "emma", "token": "t1", "attempt": 2, "take": 1}
SECOND = 1_000_000_000


def spans_of(fill: Any, ratio: float = 1.0) -> dict[str, Any]:
    """The spans of one trace by name."""
    memory = InMemorySpanExporter()
    made = traces._Otel(memory, ratio, "w1")
    fill(made)
    made._provider.force_flush()
    made.close()
    return {span.name: span for span in memory.get_finished_spans()}


def published(made: traces.Traces) -> None:
    trace = made.begin(**CLAIM, began=100.0)
    trace.add("claim", 100.0, 100.5)
    trace.add("speech", 101.0, 104.0)
    # They take turns.
    for block in range(3):
        trace.add("mastering", 105.0 + block, 105.25 + block)
        trace.add("watermark", 105.25 + block, 106.0 + block)
    trace.add("upload", 108.0, 109.0)
    trace.add("outcome", 109.0, 109.5)
    trace.end("published")
    trace.end("failed", code="twice")


def test_a_claim_is_a_trace_and_each_step_a_span_of_it() -> None:
    spans = spans_of(published)
    root = spans.pop("narration")
    assert root.attributes == {
        "narrator.book": "emma",
        "narrator.token": "t1",
        "narrator.attempt": 2,
        "narrator.take": 1,
        "narrator.outcome": "published",
    }
    assert root.status.status_code is StatusCode.UNSET
    assert root.end_time - root.start_time == pytest.approx(9.5 * SECOND, rel=1e-6)
    assert list(spans) == ["claim", "speech", "mastering", "watermark", "upload", "outcome"]
    for span in spans.values():
        assert span.parent.span_id == root.context.span_id
        assert root.start_time <= span.start_time <= span.end_time <= root.end_time
    mastering = spans["mastering"]
    assert mastering.start_time - root.start_time == pytest.approx(5 * SECOND, rel=1e-6)
    assert mastering.end_time - mastering.start_time == pytest.approx(2.25 * SECOND, rel=1e-6)
    assert mastering.attributes == {"narrator.busy_seconds": 0.75}
    assert root.resource.attributes["service.name"] == "narrator-daemon"
    assert root.resource.attributes["service.instance.id"] == "w1"


def test_the_time_of_a_span_is_the_time_of_the_day() -> None:
    def one(made: traces.Traces) -> None:
        with (trace := made.begin(**CLAIM)).step("speech"):
            pass
        trace.end("published")

    before = time.time_ns()
    span = spans_of(one)["speech"]
    assert before - SECOND < span.start_time <= span.end_time < time.time_ns() + SECOND


def test_what_went_wrong_is_marked_and_not_quoted() -> None:
    def failing(made: traces.Traces) -> None:
        trace = made.begin(**CLAIM)
        with pytest.raises(OSError, match="secret"), trace.step("upload"):
            raise OSError("https://bucket/?X-Goog-Signature=secret")
        with trace.step("outcome"):
            pass
        trace.end("retried", code="internal_error")

    spans = spans_of(failing)
    assert spans["upload"].status.status_code is StatusCode.ERROR
    assert spans["outcome"].status.status_code is StatusCode.UNSET
    root = spans["narration"]
    assert (root.status.status_code, root.status.description) == (
        StatusCode.ERROR,
        "internal_error",
    )
    assert root.attributes["narrator.error_code"] == "internal_error"
    assert not any("secret" in span.to_json() for span in spans.values())


def test_a_book_that_nobody_wants_any_more_is_no_failure() -> None:
    def cancelled(made: traces.Traces) -> None:
        trace = made.begin(**CLAIM)
        trace.add("speech", trace.began, trace.began + 1, True)
        trace.end("cancelled")

    spans = spans_of(cancelled)
    assert {span.status.status_code for span in spans.values()} == {StatusCode.UNSET}


def test_a_share_of_claims_can_be_traced() -> None:
    assert spans_of(published, ratio=0.0) == {}


def test_nothing_is_imported_while_it_is_off() -> None:
    program = (
        "import sys\n"
        "from narrator_daemon.daemon import traces\n"
        "from narrator_daemon.settings import Tracing\n"
        "made = traces.create(Tracing(), 'w')\n"
        "trace = made.begin(book_id='b', token='t', attempt=1, take=1)\n"
        "with trace.step('speech'): pass\n"
        "trace.end('published'); made.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])\n"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (out.stdout.strip(), out.stderr) == ("[]", "")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http", None)
    monkeypatch.delitem(
        sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", raising=False
    )
    with pytest.raises(NotInstalled, match=r"pip install 'narrator-daemon\[otel\]'"):
        traces.create(Tracing(endpoint="http://127.0.0.1:1/v1/traces"), "w")


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "ftp://x/v1/traces", "http://", "http://x", ""]
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="such as http://localhost:4318/v1/traces"):
        config.load(None, {"NARRATOR_TRACING__ENDPOINT": endpoint})


class Collector:
    """Takes traces over HTTP, or refuses them."""

    def __init__(self) -> None:
        self.status = 200
        self.paths: list[str] = []
        self.headers: list[str | None] = []
        self.names: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.paths.append(self.path)
                collector.headers.append(self.headers.get("X-Key"))
                if collector.status == 200:
                    request = ExportTraceServiceRequest.FromString(body)
                    for resource in request.resource_spans:
                        for scope in resource.scope_spans:
                            collector.names += [span.name for span in scope.spans]
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def test_a_collector_gets_them_by_otlp_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k")
    with collecting() as collector:
        made = traces.create(Tracing(endpoint=collector.endpoint), "w1")
        published(made)
        made.close()
        made.close()
        assert set(collector.paths) == {"/v1/traces"} and set(collector.headers) == {"k"}
        assert sorted(collector.names) == sorted(
            ["narration", "claim", "speech", "mastering", "watermark", "upload", "outcome"]
        )


def test_a_collector_that_refuses_is_said_once_and_costs_nothing() -> None:
    said = io.StringIO()
    with collecting() as collector, redirect_stderr(said):
        collector.status = 400
        logs.configure("info", "json")
        made = traces.create(Tracing(endpoint=collector.endpoint), "w1")
        assert isinstance(made, traces._Otel)
        for _ in range(2):
            published(made)
            made._provider.force_flush()
        collector.status = 200
        published(made)
        made.close()
    events = [line for line in said.getvalue().splitlines() if line]
    assert [("traces_not_sent" in line, "traces_sent_again" in line) for line in events] == [
        (True, False),
        (False, True),
    ]


def test_settings_of_its_own_that_cannot_be_used_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none/ca.pem")
    monkeypatch.setattr(traces, "_Otel", lambda *_: (_ for _ in ()).throw(OSError("no such file")))
    with pytest.raises(ConfigError, match="no such file"):
        traces.create(Tracing(endpoint="http://127.0.0.1:9/v1/traces"), "w1")


def test_what_watches_an_exporter_passes_on_what_it_says() -> None:
    memory = InMemorySpanExporter()
    watched = traces._Watched(memory)
    assert watched.force_flush() is memory.force_flush() is True
    watched.shutdown()
    assert memory._stopped


def test_a_collector_that_is_gone_does_not_hold_up_the_end() -> None:
    with collecting() as collector:
        gone = collector.endpoint
    made = traces.create(Tracing(endpoint=gone), "w1")
    published(made)
    closing = threading.Thread(target=made.close)
    closing.start()
    closing.join(traces._FAREWELL_SECONDS + 5)
    assert not closing.is_alive()


def test_a_daemon_sends_the_trace_of_a_book(
    frontend: Frontend, start_daemon: Callable[..., Daemon]
) -> None:
    with collecting() as collector:
        daemon = start_daemon(TRACING__ENDPOINT=collector.endpoint)
        frontend.add_requested("emma", "Emma Woodhouse, handsome, clever, and rich.")
        frontend.wait_for("emma", "ready")
        # What is not sent yet is sent at the end.
        assert daemon.stop() == 0
    assert set(collector.names) >= {"narration", "claim", "speech", "mastering", "upload"}


@pytest.fixture(autouse=True)
def _their_logger() -> Iterator[None]:
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    yield
    logger.setLevel(level)

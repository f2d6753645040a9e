"""OpenTelemetry traces: one for each claim, one span for each of its steps. Off by default.

    claim ─ text ─ speech ─ mastering ─ watermark ─ write ─ self_check ─ credentials ─ upload
    ─ outcome

A job tells when a step began and ended; the spans are made once the claim has ended. Nothing of
OpenTelemetry is imported while ``[tracing] endpoint`` is not set. A collector that does not answer
costs a book nothing: spans wait in a bounded queue of a thread of their own, and are dropped.

Spans carry the ids that the log carries, and never a text, a key or a URL.

Source: OTLP/HTTP 1.x, https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from narrator_daemon import __version__, logs
from narrator_daemon.errors import ConfigError, NotInstalled

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from narrator_daemon.settings import Tracing

#: Outcomes that are no fault of anything.
_WELL = frozenset({"published", "given_back", "cancelled", "superseded", "gone"})

#: Seconds in which the last spans are sent at the end.
_FAREWELL_SECONDS = 3.0

#: Seconds that the collector may take over one request.
_PATIENCE_SECONDS = 5.0

_log = logs.get(__name__)


@dataclass
class _Step:
    """A step so far: monotonic seconds, and how long of these it was at work itself."""

    began: float
    ended: float
    busy: float
    failed: bool = False


class Trace:
    """What one claim has done so far. To be used by one thread at a time.

    Steps that take turns, as mastering and marking do block by block, are one span each: from the
    first turn to the end of the last, with the seconds that were theirs.

    Args:
        began: when the work on the claim began, monotonic seconds.
        on_end: told once, with the outcome and the error's code.
    """

    def __init__(
        self, began: float, on_end: Callable[[Trace, str, str | None], None] | None = None
    ) -> None:
        self.began = began
        self.steps: dict[str, _Step] = {}
        self._on_end = on_end

    def add(self, step: str, began: float, ended: float, failed: bool = False) -> None:
        """Take in a turn of a step.

        Args:
            step: its name.
            began: monotonic seconds.
            ended: monotonic seconds.
            failed: whether it ended with an exception.
        """
        known = self.steps.get(step)
        if known is None:
            self.steps[step] = _Step(began, ended, ended - began, failed)
            return
        known.began, known.ended = min(known.began, began), max(known.ended, ended)
        known.busy += ended - began
        known.failed |= failed

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take in a turn that lasts as long as the block."""
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.add(name, began, time.monotonic(), True)
            raise
        self.add(name, began, time.monotonic())

    def end(self, outcome: str, *, code: str | None = None) -> None:
        """The claim has ended: nothing more is told of it. Safe to call twice.

        Args:
            outcome: as ``narrator_daemon.claims.ending.Ending`` names it; ``unknown``
                where the database took none in the time that was left.
            code: of the error, where there was one.
        """
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self, outcome, code)


class Traces(Protocol):
    """Where claims are traced."""

    def begin(
        self, *, book_id: str, token: str, attempt: int, take: int, began: float | None = None
    ) -> Trace:
        """Begin the trace of one claim.

        Args:
            book_id: the book.
            token: the claim's.
            attempt: from 1.
            take: from 1.
            began: when the claiming began, monotonic seconds; None for now.
        """

    def close(self) -> None:
        """Send what is left, for some seconds at most. Safe to call twice."""


class Off:
    """Traces nothing."""

    def begin(
        self, *, book_id: str, token: str, attempt: int, take: int, began: float | None = None
    ) -> Trace:
        """A trace that is thrown away."""
        return Trace(time.monotonic() if began is None else began)

    def close(self) -> None:
        """Nothing is left."""


def create(settings: Tracing, worker_id: str) -> Traces:
    """What ``[tracing]`` asks for.

    Args:
        settings: of that section.
        worker_id: this worker's, which its spans carry.

    Raises:
        NotInstalled: the extra ``otel`` is not.
        ConfigError: OpenTelemetry's settings in the environment (``OTEL_…``) cannot be used.
    """
    if settings.endpoint is None:
        return Off()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise NotInstalled(
            f"OpenTelemetry is not installed ({error})",
            where="[tracing] endpoint",
            advice="pip install 'narrator-daemon[otel]', or leave the endpoint out",
        ) from None

    # It says of every batch that it was not taken.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        exporter = OTLPSpanExporter(endpoint=settings.endpoint, timeout=_PATIENCE_SECONDS)
        return _Otel(exporter, settings.sample_ratio, worker_id)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"OpenTelemetry's own settings (OTEL_…) cannot be used: {error}", where="[tracing]"
        ) from None


class _Otel:
    """Traces by OpenTelemetry's SDK, with a provider of its own.

    The process's global provider is left alone, so that Google's libraries trace nothing into it.
    """

    def __init__(self, exporter: SpanExporter, sample_ratio: float, worker_id: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

        names = {
            "service.name": "narrator-daemon",
            "service.version": __version__,
            "service.instance.id": worker_id,
        }
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(sample_ratio),
            resource=Resource.create(names),
            shutdown_on_exit=False,
        )
        watched = cast("SpanExporter", _Watched(exporter))
        self._provider.add_span_processor(BatchSpanProcessor(watched))
        self._tracer = self._provider.get_tracer("narrator_daemon", __version__)
        self._closed = False

    def begin(
        self, *, book_id: str, token: str, attempt: int, take: int, began: float | None = None
    ) -> Trace:
        """As ``Traces`` says."""
        facts: dict[str, str | int] = {
            "narrator.book": book_id,
            "narrator.token": token,
            "narrator.attempt": attempt,
            "narrator.take": take,
        }
        return Trace(
            time.monotonic() if began is None else began,
            lambda trace, outcome, code: self._emit(trace, facts, outcome, code),
        )

    def _emit(
        self, trace: Trace, facts: Mapping[str, str | int], outcome: str, code: str | None
    ) -> None:
        from opentelemetry.trace import StatusCode, set_span_in_context

        # Monotonic seconds as epoch nanoseconds, by the clock as it is now.
        zero = time.time_ns() - int(time.monotonic() * 1e9)

        def at(seconds: float) -> int:
            return zero + int(seconds * 1e9)

        facts = {**facts, "narrator.outcome": outcome}
        if code is not None:
            facts["narrator.error_code"] = code
        # A thread deep in an engine may come back and add to them.
        steps = list(trace.steps.items())
        last = max([trace.began, *(step.ended for _, step in steps)])
        root = self._tracer.start_span("narration", start_time=at(trace.began), attributes=facts)
        if outcome not in _WELL:
            root.set_status(StatusCode.ERROR, code or outcome)
        inside = set_span_in_context(root)
        for name, step in steps:
            span = self._tracer.start_span(
                name,
                inside,
                start_time=at(step.began),
                attributes={"narrator.busy_seconds": round(step.busy, 6)},
            )
            # A step that was told to stop ends by an exception too, and nothing is wrong.
            if step.failed and outcome not in _WELL:
                span.set_status(StatusCode.ERROR)
            span.end(at(step.ended))
        root.end(at(last))

    def close(self) -> None:
        """As ``Traces`` says."""
        if self._closed:
            return
        self._closed = True
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_FAREWELL_SECONDS)


class _Watched:
    """An exporter whose failing and coming back is logged, once each.

    Args:
        exporter: that sends.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        result = self._exporter.export(spans)
        failing = result.name != "SUCCESS"
        if failing and not self._failing:
            _log.warning("traces_not_sent", note="the collector takes none; spans are lost")
        elif self._failing and not failing:
            _log.info("traces_sent_again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back here."""
        return self._exporter.force_flush(timeout_millis)

"""Traces from a request to its run with OpenTelemetry, if that is installed and configured.

While tracing is off, every function returns immediately. Otherwise a thread of the exporter sends
the spans in batches.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distillery.telemetry.config import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_tracer: "Tracer | None" = None  # None while tracing is off
_provider: "TracerProvider | None" = None
FLUSH_MS = 2000


def set_up(service: str, settings: TelemetrySettings) -> None:
    """Trace this process as `service`, if an endpoint is configured."""
    global _provider, _tracer
    if settings.otlp_endpoint is None:
        return
    # Slow to import, and only needed here.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _provider, _tracer = provider, provider.get_tracer("distillery")


def flush() -> None:
    """Send pending spans. For processes that end by a signal."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MS)


def is_on() -> bool:
    """Whether tracing is on."""
    return _tracer is not None


@contextmanager
def span(name: str, parent: str | None = None, **attributes: Any) -> Iterator["Any"]:
    """Trace the block as a child of the current span, or of `parent`, a traceparent. Yields the
    span, or None while tracing is off."""
    if _tracer is None:
        yield None
        return
    known = {key: value for key, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(name, _context(parent), attributes=known) as started:
        yield started


def record_span(name: str, started_ns: int, ended_ns: int, parent: str | None = None) -> None:
    """Record a span that has ended, as a child of the current one or of `parent`. Times are in
    nanoseconds since 1970."""
    if _tracer is not None:
        started = _tracer.start_span(name, _context(parent), start_time=started_ns)
        started.end(max(started_ns, ended_ns))


def now_ns() -> int:
    """The current time, for `record_span`."""
    return time.time_ns()


def traceparent() -> str | None:
    """The current span as a W3C traceparent, to pass to another process."""
    if _tracer is None:
        return None
    from opentelemetry.propagate import inject

    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")


def _context(parent: str | None) -> "Context | None":
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})

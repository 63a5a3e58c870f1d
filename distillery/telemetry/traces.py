"""Traces from a request to its run, by OpenTelemetry where that is installed and configured.

Off, every function returns at once. On, spans are sent in batches by a thread of the exporter's.
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

_tracer: "Tracer | None" = None  # of this process; none: traces are off
_provider: "TracerProvider | None" = None
FLUSH_MS = 2000


def set_up(service: str, settings: TelemetrySettings) -> None:
    """Begin to trace this process as `service`, if there is where to send it."""
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
    """Send what waits to be sent: for a process that ends by a signal."""
    if _provider is not None:
        _provider.force_flush(FLUSH_MS)


def is_on() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


@contextmanager
def span(name: str, parent: str | None = None, **attributes: Any) -> Iterator["Any"]:
    """A span around the block, below the current one or below `parent`, a traceparent. Yields the
    span, or None where traces are off."""
    if _tracer is None:
        yield None
        return
    known = {key: value for key, value in attributes.items() if value is not None}
    with _tracer.start_as_current_span(name, _context(parent), attributes=known) as begun:
        yield begun


def past(name: str, began_ns: int, ended_ns: int, parent: str | None = None) -> None:
    """A span that is over already, below the current one or below `parent`; times in nanoseconds
    since 1970."""
    if _tracer is not None:
        begun = _tracer.start_span(name, _context(parent), start_time=began_ns)
        begun.end(max(began_ns, ended_ns))


def now_ns() -> int:
    """For `past`."""
    return time.time_ns()


def traceparent() -> str | None:
    """The current span as W3C trace context, to be handed to another process."""
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

"""Tracing off: OpenTelemetry is not imported. On: contexts pass from process to process."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from distillery.telemetry import traces


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_tracing_off_imports_nothing() -> None:
    code = (
        "import sys\n"
        "from distillery.telemetry import traces\n"
        "from distillery.telemetry.config import TelemetrySettings\n"
        "traces.set_up('x', TelemetrySettings(otlp_endpoint=None))\n"
        "with traces.span('a') as span:\n"
        "    assert span is None and traces.traceparent() is None and not traces.is_on()\n"
        "    traces.record_span('b', 1, 2)\n"
        "assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_context_passes_from_process_to_process(spans: InMemorySpanExporter) -> None:
    with traces.span("request", **{"kd.tenant": "acme", "kd.none": None}):
        passed = traces.traceparent()
    with traces.span("attempt", passed):
        traces.record_span("claim", 5, 3)
    named = {span.name: span for span in spans.get_finished_spans()}
    assert passed is not None
    traced = named["request"].context
    assert traced is not None
    assert passed.split("-")[1:3] == [f"{traced.trace_id:032x}", f"{traced.span_id:016x}"]
    parent = named["attempt"].parent
    assert parent is not None and parent.span_id == traced.span_id
    assert named["request"].attributes == {"kd.tenant": "acme"}
    assert (named["claim"].start_time, named["claim"].end_time) == (5, 5)


@pytest.mark.parametrize("parent", ["", "garbage", "00-0-0-00", "00-" + "0" * 32 + "-1-01"])
def test_an_invalid_parent_starts_a_new_trace(spans: InMemorySpanExporter, parent: str) -> None:
    with traces.span("request", parent):
        pass
    (span,) = spans.get_finished_spans()
    assert span.parent is None

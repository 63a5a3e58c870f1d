"""Trace spans of a run and its phases, made from the events that the run writes."""

from collections.abc import Sequence
from pathlib import Path

from distillery.telemetry import traces
from kdcore.spec.events import PhaseEvent, RunEvent

TRACEPARENT_FILE = "traceparent"
NS_PER_S = 1_000_000_000


class Phases:
    """Collects the phases of one run; they are complete only after the run has ended."""

    def __init__(self) -> None:
        self._started: list[tuple[str, int]] = []
        self._run: str | None = None
        self._ended_ns = 0

    def run_started(self, run_dir: Path) -> None:
        """Take the current span as the run's, and write its trace context to the run directory."""
        self._run = traces.traceparent()
        if self._run is not None:
            (run_dir / TRACEPARENT_FILE).write_text(self._run + "\n", encoding="ascii")

    def run_ended(self) -> None:
        """Note when the run ended; some of its events may still be unread."""
        self._ended_ns = traces.now_ns()

    def add(self, events: Sequence[RunEvent]) -> None:
        """Collect the phases among these events."""
        if traces.is_on():
            self._started += [
                (event.phase, int(event.at * NS_PER_S))
                for event in events
                if isinstance(event, PhaseEvent)
            ]

    def export(self) -> None:
        """Record a span per phase as a child of the run's; each lasts until the next one starts."""
        ends = [at for _, at in self._started[1:]] + [self._ended_ns]
        for (phase, started), ended in zip(self._started, ends, strict=False):
            traces.record_span(f"phase {phase}", started, ended, self._run)

"""What an attempt leaves in a trace: the run with its phases, told by the events it writes."""

from collections.abc import Sequence
from pathlib import Path

from distillery.telemetry import traces
from kdcore.spec.events import PhaseEvent, RunEvent

TRACEPARENT_FILE = "traceparent"
NS_PER_S = 1_000_000_000


class Phases:
    """Collects the phases of one run. The last of them come only when the run is over."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, int]] = []
        self._run: str | None = None
        self._ended_ns = 0

    def run_begins(self, run_dir: Path) -> None:
        """The current span is the run's: it is handed to whatever looks at the run directory."""
        self._run = traces.traceparent()
        if self._run is not None:
            (run_dir / TRACEPARENT_FILE).write_text(self._run + "\n", encoding="ascii")

    def run_ends(self) -> None:
        """The run is over; some of what it said may still be unread."""
        self._ended_ns = traces.now_ns()

    def take(self, events: Sequence[RunEvent]) -> None:
        """Note the phases among these events."""
        if traces.is_on():
            self._begun += [
                (event.phase, int(event.at * NS_PER_S))
                for event in events
                if isinstance(event, PhaseEvent)
            ]

    def tell(self) -> None:
        """One span for each phase, below the run's: each lasts until the next begins."""
        ends = [at for _, at in self._begun[1:]] + [self._ended_ns]
        for (phase, began), ended in zip(self._begun, ends, strict=False):
            traces.past(f"phase {phase}", began, ended, self._run)

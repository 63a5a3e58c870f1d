"""What an attempt leaves in a trace: the run with its phases, told by the events it writes."""

from collections.abc import Sequence
from pathlib import Path

from kdcore.spec.events import PhaseEvent, RunEvent
from telemetry import traces

TRACEPARENT_FILE = "traceparent"
NS_PER_S = 1_000_000_000


class Phases:
    """Collects the phases of one run."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, int]] = []

    def take(self, events: Sequence[RunEvent]) -> None:
        """Note the phases among these events."""
        if traces.is_on():
            self._begun += [
                (event.phase, int(event.at * NS_PER_S))
                for event in events
                if isinstance(event, PhaseEvent)
            ]

    def tell(self) -> None:
        """One span for each phase, below the current one: each lasts until the next begins."""
        ends = [at for _, at in self._begun[1:]] + [traces.now_ns()]
        for (phase, began), ended in zip(self._begun, ends, strict=False):
            traces.past(f"phase {phase}", began, ended)


def leave_traceparent(run_dir: Path) -> None:
    """Hand the current span to whatever looks at the run directory."""
    parent = traces.traceparent()
    if parent is not None:
        (run_dir / TRACEPARENT_FILE).write_text(parent + "\n", encoding="ascii")

"""Shows a board: live bars on a terminal, a line per step forward elsewhere, or JSON lines."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from distillery.cli.run_status import NETWORKS, RunStatus
from kdcore.spec.events import RunEvent
from kdcore.spec.names import LABELS


class Display:
    """A context in which `update` is called after every change of the board."""

    def __init__(self, console: Console, run_status: RunStatus, *, as_json: bool = False):
        self.run_status = run_status
        self._console = console
        self._as_json = as_json
        self._live: Live | None = None
        self._printed = ""
        if console.is_terminal and not as_json:
            self._live = Live(run_status, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def event(self, kind: str, body: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Take an event into the board and show it; `record` is its form in JSON lines."""
        self.run_status.take(kind, body)
        if self._as_json:
            self._console.print(json.dumps({"event": record}), soft_wrap=True, markup=False)
        self.update()

    def run_event(self, event: RunEvent) -> None:
        """Take an event of a run that has no service."""
        self.event(event.kind, event.model_dump(), event.model_dump(mode="json"))

    def update(self) -> None:
        """Show the board as it is now; on a plain output only when a step forward was made."""
        if self._live or self._as_json:
            return
        arms = [
            f"{LABELS[name]} epoch {arm.epoch}/{arm.epochs}"
            for name in NETWORKS
            if (arm := self.run_status.arms.get(name))
        ]
        line = "  ".join([f"{self.run_status.title}: {self.run_status.headline()}", *arms])
        if self.run_status.waiting:
            line += f"  {self.run_status.waiting}"
        if line != self._printed:
            self._printed = line
            accuracies = self.run_status.accuracies()
            self._console.print(
                line + (f"  {accuracies}" if accuracies else ""),
                soft_wrap=True,
                markup=False,
                highlight=False,
            )

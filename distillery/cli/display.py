"""Shows a run's status: live bars on a terminal, a line per milestone elsewhere, or JSON lines."""

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from distillery.cli.run_status import RunStatus
from kdcore.spec.events import RunEvent


class StatusDisplay:
    """A context in which `show` is called after every change of the status."""

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
        elif not self._as_json:
            self._print(self.run_status.title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def apply_event(self, kind: str, body: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Apply an event to the status and show it; `record` is its form in JSON lines."""
        self.run_status.apply_event(kind, body)
        if self._as_json:
            self._console.print(json.dumps({"event": record}), soft_wrap=True, markup=False)
        self.show()

    def apply_run_event(self, event: RunEvent) -> None:
        """Apply an event of a run that has no service."""
        self.apply_event(event.kind, event.model_dump(), event.model_dump(mode="json"))

    def show(self) -> None:
        """Show the status as it is now; on a plain output, only when it differs in more than the
        figures that change with every step."""
        if self._live or self._as_json:
            return
        line = self.run_status.milestone()
        if line != self._printed:
            self._printed = line
            figures = self.run_status.figures()
            self._print(f"  {line}{', ' if figures else ''}{figures}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)

"""Writes a run's events: one flushed JSON line each, numbered from 1 in a new file."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from kdcore.runtime.errors import RunError
from kdcore.spec.codes import Exit
from kdcore.spec.events import (
    BaseEvent,
    CheckpointEvent,
    EndEvent,
    LogEvent,
    MetricsEvent,
    PhaseEvent,
    ProgressEvent,
)
from kdcore.spec.names import ArmName, Phase

PROGRESS_EVERY_S = 0.5


class EventLog:
    """Appends events to a file. `seconds`: wall-clock seconds spent in each phase."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._seq = 0
        self._phase: str | None = None
        self._marked_s = time.monotonic()
        self._progress_s = -math.inf
        self.seconds: dict[str, float] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def phase(self, phase: Phase) -> None:
        """Enter a phase."""
        self.mark()
        self._phase = phase
        self._write(PhaseEvent(**self._next(), phase=phase))

    def mark(self) -> None:
        """Add the time since the last mark to `seconds`."""
        now_s = time.monotonic()
        if self._phase is not None:
            spent_s = self.seconds.get(self._phase, 0.0)
            self.seconds[self._phase] = spent_s + now_s - self._marked_s
        self._marked_s = now_s

    def progress_due(self) -> bool:
        """Whether the last progress event is old enough for another."""
        return time.monotonic() - self._progress_s >= PROGRESS_EVERY_S

    def progress(
        self,
        *,
        arm: ArmName,
        stage: tuple[int, int],
        epoch: tuple[int, int],
        step: tuple[int, int],
        fraction: float,
        images_per_s: float | None,
        eta_s: float | None,
    ) -> None:
        """Write how far the run is; the pairs are (done, total)."""
        self._progress_s = time.monotonic()
        self._write(
            ProgressEvent(
                **self._next(),
                arm=arm,
                stage=stage[0],
                stages=stage[1],
                epoch=epoch[0],
                epochs=epoch[1],
                step=step[0],
                steps=step[1],
                images_per_s=images_per_s,
                fraction=min(1.0, fraction),
                eta_s=eta_s,
            )
        )

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Write the finite metrics of a step; no event if there are none."""
        if finite := finite_metrics(values):
            self._write(MetricsEvent(**self._next(), step=step, values=finite))

    def checkpoint(self, arm: ArmName, step: int, path: str) -> None:
        """Write that a checkpoint is safely on disk; `path` is relative to the run directory."""
        self._write(CheckpointEvent(**self._next(), arm=arm, step=step, path=path))

    def log(self, level: Literal["info", "warning", "error"], message: str) -> None:
        """Write a line for people."""
        self._write(LogEvent(**self._next(), level=level, message=message))

    def succeed(self) -> None:
        """Write the last event of a run that succeeded."""
        self.mark()
        self._write(EndEvent(**self._next(), exit=Exit.OK.name, code="ok", message="done"))

    def fail(self, error: RunError) -> None:
        """Write the last event of a run that failed."""
        self.mark()
        end = {"code": error.code, "message": error.message, "pointer": error.pointer}
        self._write(EndEvent(**self._next(), exit=error.exit.name, **end))

    def _next(self) -> dict[str, float]:
        self._seq += 1
        return {"seq": self._seq, "at": time.time()}

    def _write(self, event: BaseEvent) -> None:
        self._file.write(event.model_dump_json() + "\n")
        self._file.flush()


def finite_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Drop NaN and infinities, which JSON cannot express.

    The one place where this is decided: readers of events rely on finite values.
    """
    return {name: value for name, value in values.items() if math.isfinite(value)}

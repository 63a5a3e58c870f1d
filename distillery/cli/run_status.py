"""What is known of a run while it goes on, folded from its events, and how it looks."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from distillery.wire.jobs import Job, Progress, Waiting
from kdcore.spec.names import LABELS, STUDENT_LOSS, Metric, Network, Phase

BAR_WIDTH = 36
LOOKS = {
    "queued": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
}
PHASES = {str(phase): phase.label for phase in Phase}
NETWORKS: tuple[Network, ...] = ("teacher", "student", "baseline")


class RunStatus:
    """The state of one run or job; `take` events in order, and a `job` when it is looked up."""

    def __init__(self, title: str, state: str = "running"):
        self.title = title
        self.state = state
        self.phase: str | None = None
        self.attempt = 1
        self.note = ""
        self.waiting = ""
        self.arms: dict[str, Progress] = {}
        self.values: dict[str, float] = {}
        self._spinner = Spinner("dots")

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        """Fold in one event of a run; kinds and keys it does not know are ignored."""
        if kind == "phase":
            self.phase = str(body["phase"])
        elif kind == "progress":
            progress = Progress.model_validate(dict(body))
            self.arms[progress.arm] = progress
        elif kind == "metrics":
            self.values.update(body["values"])
        elif kind == "log":
            self.note = str(body["message"])

    def look(self, job: Job) -> None:
        """Fold in what the service says of the job itself."""
        self.state = job.state
        self.attempt = job.attempt
        self.phase = job.phase or self.phase
        self.values.update(job.latest)
        self.waiting = ""
        if job.request:
            self.waiting = f"{job.request} is asked for: it ends after its current step"
        elif job.waiting:
            self.waiting = waits(job.waiting)
        elif job.state == "queued":
            self.waiting = "waiting for a worker"
        elif job.state == "paused":
            self.waiting = f"`kd jobs resume {job.id}` takes it up again"

    def headline(self) -> str:
        """State, phase and attempt in a few words."""
        words = [self.state]
        if self.state == "running" and self.phase:
            words.append(PHASES.get(self.phase, self.phase))
        if self.attempt > 1:
            words.append(f"attempt {self.attempt}")
        return ", ".join(words)

    def accuracies(self) -> str:
        """The validation accuracies so far, and the student's loss."""
        parts = []
        for network in NETWORKS:
            value = self.values.get(Metric.ACCURACY.of(network))
            if value is not None:
                parts.append(f"{LABELS[network]} {value:.1%}")
        loss = self.values.get(STUDENT_LOSS)
        return "  ".join([*parts, *([f"loss {loss:.3f}"] if loss is not None else [])])

    def __rich__(self) -> RenderableType:
        look = LOOKS.get(self.state, "white")
        head = Table.grid(padding=(0, 1))
        mark = self._spinner if self.state in ("queued", "running") else Text("■", style=look)
        head.add_row(mark, Text(self.title, style="bold"), Text(self.headline(), style=look))
        bars = Table.grid(padding=(0, 1))
        for network in NETWORKS:
            if network in self.arms:
                bars.add_row(Text(f"  {LABELS[network]:12}"), *_arm(self.arms[network]))
        lines: list[RenderableType] = [head, bars]
        if self.accuracies():
            lines.append(Text(f"  accuracy on held-out part: {self.accuracies()}", style="dim"))
        if self.waiting or self.note:
            lines.append(Text(f"  {self.waiting or self.note}", style="dim"))
        return Group(*lines)


def waits(waiting: Waiting) -> str:
    """Why a job does not go on, since when, and until when where that is known."""
    end = f" until {waiting.until.astimezone():%H:%M:%S}" if waiting.until else ""
    since = f"{waiting.since.astimezone():%Y-%m-%d %H:%M:%S}"
    todo = f". {waiting.next_step}" if waiting.next_step else ""
    return f"waits ({waiting.reason}): {waiting.message}, since {since}{end}{todo}"


def _arm(progress: Progress) -> tuple[RenderableType, ...]:
    done = progress.step / progress.steps if progress.steps else 0.0
    bar = ProgressBar(total=1.0, completed=done, width=BAR_WIDTH)
    epoch = f"epoch {progress.epoch}/{progress.epochs}"
    if progress.stages > 1:
        epoch += f" (stage {progress.stage + 1}/{progress.stages})"
    speed = f"{progress.images_per_s:,.0f} images/s" if progress.images_per_s else ""
    left = _clock(progress.eta_s) + " left" if progress.eta_s and done < 1 else ""
    return bar, Text(f"{done:4.0%}"), Text(epoch), Text(speed, style="dim"), Text(left, style="dim")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

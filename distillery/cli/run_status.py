"""The status of a run while it goes on, built from its events, and how it looks."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from distillery.sdk.format import clock, phase_label
from distillery.wire.jobs import Job, Progress, Waiting
from kdcore.spec.names import LABELS, STUDENT_LOSS, Metric, Network

BAR_WIDTH = 36
STATE_STYLES = {
    "queued": "yellow",
    "running": "cyan",
    "paused": "yellow",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
}
NETWORKS: tuple[Network, ...] = ("teacher", "student", "baseline")


class RunStatus:
    """The status of one run or job: apply its events in order, and the job when it is fetched."""

    def __init__(self, title: str, state: str = "running"):
        self.title = title
        self.state = state
        self.phase: str | None = None
        self.attempt = 1
        self.last_log = ""
        self.waiting = ""
        self.arms: dict[Network, Progress] = {}
        self.values: dict[str, float] = {}
        self._spinner = Spinner("dots")

    def apply_event(self, kind: str, body: Mapping[str, Any]) -> None:
        """Apply one event of a run; unknown kinds are ignored."""
        if kind == "phase":
            self.phase = str(body["phase"])
        elif kind == "progress":
            progress = Progress.model_validate(dict(body))
            self.arms[progress.arm] = progress
        elif kind == "metrics":
            self.values.update(body["values"])
        elif kind == "log":
            self.last_log = str(body["message"])

    def apply_job(self, job: Job) -> None:
        """Apply the job as the service describes it."""
        self.state = job.state
        self.attempt = job.attempt
        self.phase = job.phase or self.phase
        self.values.update(job.latest)
        self.waiting = ""
        if job.request:
            self.waiting = f"{job.request} was requested: the run stops after its current step"
        elif job.waiting:
            self.waiting = waiting_text(job.waiting)
        elif job.state == "queued":
            self.waiting = "waiting for a worker"
        elif job.state == "paused":
            self.waiting = f"continue with `kd jobs resume {job.id}`"

    def headline(self) -> str:
        """Return state, phase and attempt in a few words."""
        words = [self.state]
        if self.state == "running" and self.phase:
            words.append(phase_label(self.phase))
        if self.attempt > 1:
            words.append(f"attempt {self.attempt}")
        return ", ".join(words)

    def milestone(self) -> str:
        """Return the headline with the epochs done, and why the job waits."""
        parts = [self.headline()]
        for network in NETWORKS:
            if arm := self.arms.get(network):
                parts.append(f"{LABELS[network]} epoch {arm.epoch}/{arm.epochs}")
        return ", ".join([*parts, *([self.waiting] if self.waiting else [])])

    def figures(self) -> str:
        """Return the validation accuracies so far, and the student's loss."""
        parts = []
        for network in NETWORKS:
            value = self.values.get(Metric.ACCURACY.of(network))
            if value is not None:
                parts.append(f"{LABELS[network]} {value:.1%}")
        loss = self.values.get(STUDENT_LOSS)
        accuracies = f"accuracy: {'  '.join(parts)}" if parts else ""
        return "  ".join(filter(None, [accuracies, f"loss {loss:.3f}" if loss is not None else ""]))

    def __rich__(self) -> RenderableType:
        look = STATE_STYLES.get(self.state, "white")
        head = Table.grid(padding=(0, 1))
        mark = self._spinner if self.state in ("queued", "running") else Text("■", style=look)
        head.add_row(mark, Text(self.title, style="bold"), Text(self.headline(), style=look))
        bars = Table.grid(padding=(0, 1))
        for network in NETWORKS:
            if arm := self.arms.get(network):
                bars.add_row(Text(f"  {LABELS[network]:12}"), *_arm(arm))
        lines: list[RenderableType] = [head, bars]
        if self.figures():
            lines.append(Text(f"  {self.figures()}", style="dim"))
        if self.waiting or self.last_log:
            lines.append(Text(f"  {self.waiting or self.last_log}", style="dim"))
        return Group(*lines)


def waiting_text(waiting: Waiting) -> str:
    """Say why a job does not go on, since when, and until when if that is known."""
    end = f", until {waiting.until.astimezone():%H:%M:%S}" if waiting.until else ""
    since = f"{waiting.since.astimezone():%Y-%m-%d %H:%M:%S}"
    next_step = f". {waiting.next_step}" if waiting.next_step else ""
    return f"waiting ({waiting.reason}): {waiting.message}, since {since}{end}{next_step}"


def _arm(progress: Progress) -> tuple[RenderableType, ...]:
    done = progress.step / progress.steps if progress.steps else 0.0
    bar = ProgressBar(total=1.0, completed=done, width=BAR_WIDTH)
    epoch = f"epoch {progress.epoch}/{progress.epochs}"
    if progress.stages > 1:
        epoch += f" (stage {progress.stage + 1}/{progress.stages})"
    speed = f"{progress.images_per_s:,.0f} images/s" if progress.images_per_s else ""
    left = clock(progress.eta_s) + " left" if progress.eta_s and done < 1 else ""
    return bar, Text(f"{done:4.0%}"), Text(epoch), Text(speed, style="dim"), Text(left, style="dim")

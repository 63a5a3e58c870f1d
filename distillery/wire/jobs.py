"""Jobs, and what belongs to them: events, metrics, transitions, artifacts."""

from typing import Any, Literal

from pydantic import Field

from distillery.wire.common import Failure, Time, View
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State
from kdcore.spec.events import ProgressEvent
from kdcore.spec.names import ArmName
from kdcore.spec.result import DistillResult


class JobCreate(JobSpec):
    """A job's spec, and a name for people."""

    name: str | None = Field(None, max_length=200, description="Default: made from the spec.")


class Progress(View):
    """The most recent progress event."""

    arm: ArmName
    stage: int
    stages: int
    epoch: int
    epochs: int
    step: int
    steps: int
    images_per_s: float | None
    fraction: float
    eta_s: float | None

    @classmethod
    def of(cls, event: ProgressEvent) -> "Progress":
        """The view of an event."""
        return cls.model_validate(event.model_dump())


class JobSummary(View):
    """A row of the jobs list."""

    id: str
    name: str
    task: str
    state: State
    terminal: bool
    phase: str | None
    request: Literal["cancel", "pause"] | None
    attempt: int
    progress: Progress | None
    student_architecture: str | None
    methods: list[str]
    latest: dict[str, float] = Field(description="Most recent value of each metric.")
    gain: float | None = Field(description="Student minus baseline accuracy, once succeeded.")
    student_accuracy: float | None
    teacher_accuracy: float | None
    baseline_accuracy: float | None
    error: Failure | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class Waiting(View):
    """Why a job does not make progress."""

    reason: str = Field(
        description="Stable; docs/errors.md lists them. More may be added.", examples=["no_worker"]
    )
    message: str
    next_step: str | None = Field(None, description="What to do; null: nothing but wait.")
    since: Time
    until: Time | None = Field(None, description="When it ends, where that is known.")


class Job(JobSummary):
    """One job. Its curves are at /metrics, its history at /events and /transitions."""

    spec: JobSpec | None
    subject: str | None = Field(description="Id of the model or dataset that is inspected.")
    waiting: Waiting | None = Field(
        description="Why a queued job has not started; null: it should start any moment."
    )
    worker: str | None
    result: DistillResult | None
    student_model: str | None
    queued_at: Time
    last_event: int = Field(
        description="Id of the newest event: where a stream of new ones begins."
    )
    version: int


class Check(View):
    """The answer to a dry run: the job would be accepted, and this is what it would cost."""

    ok: Literal[True] = True
    steps: int = Field(description="Optimizer steps, baseline included.")
    images: int = Field(description="Training images seen, baseline included.")
    estimated_s: float | None = Field(
        description="From the throughput of this tenant's last similar job; null: there is none."
    )
    spec: JobSpec


class Event(View):
    """Something that happened to a job; ids count from 1 without gaps."""

    id: int
    attempt: int
    kind: str
    at: Time
    body: dict[str, Any]


class Transition(View):
    """One change of a job's state."""

    source: State | None
    target: State
    attempt: int
    at: Time
    message: str


class Series(View):
    """The points of one metric, in order of their steps."""

    name: str
    steps: list[int]
    values: list[float]
    downsampled: bool = Field(description="Whether points in between were left out.")


class Metrics(View):
    """Curves of a job after `after_step`.

    To follow curves as they grow, ask for those that share their steps together (`keys`: the terms
    of a loss come every few steps, accuracies once per epoch), and pass the last step you have.
    """

    series: list[Series]


class Artifact(View):
    """A file that a job produced."""

    id: str
    job: str
    kind: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str
    max_abs_diff: float | None = Field(
        description="Largest difference of outputs after the file was loaded back."
    )
    created_at: Time
    href: str = Field(description="Address of its bytes, which accepts ranges and If-None-Match.")

"""What a run reports: one JSON object per line of DIR/events.jsonl, `seq` from 1 without gaps."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from kdcore.spec.base import SpecModel
from kdcore.spec.names import ArmName, Phase
from kdcore.spec.spec_codes import AnyRunCode


class BaseEvent(SpecModel):
    """What every event has. `at` is Unix time in seconds."""

    seq: int = Field(ge=1)
    at: float


class PhaseEvent(BaseEvent):
    """The run entered a phase."""

    kind: Literal["phase"] = "phase"
    phase: Phase


class ProgressEvent(BaseEvent):
    """How far the run is, at most about twice a second; `fraction` covers all arms."""

    kind: Literal["progress"] = "progress"
    arm: ArmName
    stage: int = Field(ge=0)
    stages: int
    epoch: int = Field(ge=0, description="Epochs done in this arm, over all its stages.")
    epochs: int
    step: int = Field(ge=0, description="Optimizer steps done in this arm.")
    steps: int
    images_per_s: float | None = None
    fraction: float = Field(ge=0, le=1)
    eta_s: float | None = None


class MetricsEvent(BaseEvent):
    """Scalars at a step, by the names of `kdcore.spec.names`; the teacher's are at step 0."""

    kind: Literal["metrics"] = "metrics"
    step: int = Field(ge=0)
    values: dict[str, float]


class CheckpointEvent(BaseEvent):
    """A checkpoint is safely on disk."""

    kind: Literal["checkpoint"] = "checkpoint"
    arm: ArmName
    step: int
    path: str


class LogEvent(BaseEvent):
    """A line for a person."""

    kind: Literal["log"] = "log"
    level: Literal["info", "warning", "error"]
    message: str


class EndEvent(BaseEvent):
    """The last line: how the run ended, with its code and, for bad specs, a JSON pointer."""

    kind: Literal["end"] = "end"
    exit: str
    code: AnyRunCode | Literal["ok"]
    message: str
    pointer: str | None = None


RunEvent = Annotated[
    PhaseEvent | ProgressEvent | MetricsEvent | CheckpointEvent | LogEvent | EndEvent,
    Field(discriminator="kind"),
]
RUN_EVENT: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)

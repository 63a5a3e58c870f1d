"""What a run leaves in DIR/out/result.json: the proof of what the student is worth."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from kdcore.spec.base import SpecModel
from kdcore.spec.run import Network


class Score(SpecModel):
    """Accuracy (0 to 1) and mean cross-entropy, where there are labels of the network's classes;
    `agreement`: share with the teachers' top class."""

    accuracy: float | None
    loss: float | None
    samples: int
    agreement: float | None = None


class NetworkReport(SpecModel):
    """One network's worth and cost. `latency_ms`: median of one image, batch 1, on `device`."""

    name: str
    architecture: str
    parameters: int
    size_bytes: int = Field(description="Of the weights as safetensors.")
    latency_ms: float
    last: Score
    best: Score | None = Field(None, description="Epoch with the best validation accuracy.")
    best_epoch: int | None = None


class RunArtifact(SpecModel):
    """A file under DIR/out. `max_abs_diff`: largest output difference after loading it back."""

    kind: Literal["weights", "onnx", "config", "weights_best", "baseline_weights"]
    path: str
    media_type: str
    size_bytes: int
    sha256: str
    max_abs_diff: float | None = None


class Machine(SpecModel):
    """Where the result was made; equal profiles give equal bits."""

    torch: str
    device: str
    threads: int
    precision: str
    processes: int = 1


class TeacherOutputs(SpecModel):
    """Samples times teachers of the last attempt's training whose outputs were computed, and those
    read from disk instead."""

    computed: int
    read: int


class DistillResult(SpecModel):
    """The outcome of a `distill` run. `retention` = student / teacher accuracy;
    `gap_closed` = (student - baseline) / (teacher - baseline); of the last epoch, on `split`."""

    task: Literal["distill"] = "distill"
    split: Literal["test", "validation", "none"]
    teachers: tuple[NetworkReport, ...]
    ensemble: Score | None = Field(
        None, description="Of several teachers' mean; it stands for the teacher then."
    )
    student: NetworkReport
    baseline: NetworkReport | None
    gain: float | None = Field(description="Student minus baseline accuracy.")
    retention: float | None
    gap_closed: float | None
    network: Network = Field(description="Rebuilds the student.")
    artifacts: tuple[RunArtifact, ...]
    machine: Machine
    bit_exact: bool = Field(description="False once a resume happened on another machine profile.")
    resumes: int = 0
    teacher_outputs: TeacherOutputs | None = Field(
        None, description="Where outputs of training images may be kept (`teacher_cache`)."
    )
    seconds: dict[str, float] = Field(description="Wall-clock seconds per phase.")


class InspectModelResult(SpecModel):
    """An accepted model: its size, and every module path a tap may name.

    `artifacts`: the weights as safetensors, unless the uploaded file holds just that already.
    """

    task: Literal["inspect_model"] = "inspect_model"
    network: Network
    parameters: int
    modules: tuple[str, ...]
    artifacts: tuple[RunArtifact, ...]


class InspectDatasetResult(SpecModel):
    """An accepted dataset."""

    task: Literal["inspect_dataset"] = "inspect_dataset"
    train: int
    test: int
    labelled: bool
    num_classes: int | None
    class_names: tuple[str, ...] | None
    channels: int
    height: int = Field(description="Of all images, or the commonest where they differ.")
    width: int
    uniform: bool = Field(description="Whether all images have the same size.")


RunResult = Annotated[
    DistillResult | InspectModelResult | InspectDatasetResult, Field(discriminator="task")
]
RUN_RESULT: TypeAdapter[RunResult] = TypeAdapter(RunResult)

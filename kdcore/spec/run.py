"""What one `python -m kdcore run DIR` reads from DIR/spec.json; paths are relative to DIR."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from kdcore.spec.base import SpecModel
from kdcore.spec.recipe import DatasetFormat, Recipe, Scalar, WeightsFormat, teachers_where_needed

SPEC_FILE = "spec.json"
EVENTS_FILE = "events.jsonl"
RESULT_FILE = "out/result.json"
OUT_DIR = "out"
CHECKPOINT_DIR = "checkpoints"
TEACHER_OUTPUTS_DIR = "teacher_outputs"
PACKS_DIR = "packs"
LOG_FILE = "run.log"
ARCHITECTURE = "A name of ours (`resnet20`), or `torchvision/NAME`, or `timm/NAME`."
OPTIONS = "Further arguments of the architecture."
READY = "ready"  # what `python -m kdcore warm` prints once it is warm


class Input(SpecModel):
    """What a network reads: channels, height, width; x in [0, 1] becomes (x - mean) / std."""

    channels: int = Field(3, ge=1, le=16)
    height: int = Field(32, ge=4, le=1024)
    width: int = Field(32, ge=4, le=1024)
    mean: tuple[float, ...] = Field((0.0,), description="One value per channel, or one for all.")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field((1.0,), description="As `mean`.")

    @model_validator(mode="after")
    def _lengths(self) -> "Input":
        for name, value in (("mean", self.mean), ("std", self.std)):
            if len(value) not in (1, self.channels):
                raise ValueError(f"{name} has {len(value)} values; give 1 or {self.channels}")
        return self


class Network(SpecModel):
    """Enough to rebuild a network: this is also the exported `config.json`."""

    architecture: str = Field(min_length=1, max_length=200, description=ARCHITECTURE)
    options: dict[str, Scalar] = Field({}, description=OPTIONS)
    num_classes: int = Field(ge=2, le=1_000_000)
    input: Input = Input()
    classifier_width: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Of a student made by simkd, which reuses the teacher's classifier: the number "
        "of features that it reads.",
    )


class TeacherOptions(SpecModel):
    """How a teacher is used, wherever its weights come from."""

    weight: float = Field(1.0, gt=0, description="Relative weight in the ensemble.")
    batch_norm: Literal["eval", "train"] = Field(
        "eval", description="Mode of the teacher's batch norms; a method may require another."
    )


class RunTeacher(TeacherOptions):
    """A trained network with its weights on disk."""

    name: str = "teacher"
    network: Network
    weights: str
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Of the weights file, if it is known. Default: computed.",
    )


class StudentOptions(SpecModel):
    """The network to train; its class count and input follow the dataset."""

    architecture: str = Field(min_length=1, max_length=200, description=ARCHITECTURE)
    options: dict[str, Scalar] = Field({}, description=OPTIONS)


class RunStudent(StudentOptions):
    """A student, perhaps with weights to start from."""

    initial_weights: str | None = None


class RunDataset(SpecModel):
    """A dataset on disk: a zip, a folder or an npz file."""

    path: str
    format: DatasetFormat
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Of the file. Default: computed."
    )
    packs: str | None = Field(
        None, description="Folder of packed datasets, shared between runs. Default: DIR/packs."
    )


class DistillRun(Recipe):
    """Train a student (and its baseline), evaluate, report, export."""

    task: Literal["distill"] = "distill"
    teachers: tuple[RunTeacher, ...] = Field((), validate_default=True)
    student: RunStudent
    dataset: RunDataset
    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    threads: int | None = Field(None, ge=1, description="CPU threads. Default: torch chooses.")

    _needed = field_validator("teachers")(teachers_where_needed)


class InspectModelRun(SpecModel):
    """Open uploaded weights, check them against the architecture, convert them where needed."""

    task: Literal["inspect_model"] = "inspect_model"
    network: Network
    weights: str
    format: WeightsFormat


class InspectDatasetRun(SpecModel):
    """Open an uploaded dataset, check all of it, and report its contents."""

    task: Literal["inspect_dataset"] = "inspect_dataset"
    dataset: RunDataset


RunSpec = Annotated[DistillRun | InspectModelRun | InspectDatasetRun, Field(discriminator="task")]
RUN_SPEC: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)

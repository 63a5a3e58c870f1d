"""Models, datasets, methods and architectures."""

from typing import Any, Literal

from pydantic import Field

from distillery.wire.common import Body, Failure, Time, View
from kdcore.spec.recipe import DatasetFormat, Scalar, WeightsFormat
from kdcore.spec.run import Input, Network


class ModelCreate(Body):
    """Register uploaded weights and their architecture; they are inspected before use."""

    name: str = Field(min_length=1, max_length=200)
    upload: str = Field(pattern=r"^upl_", description="A complete upload's id.")
    format: WeightsFormat = "safetensors"
    architecture: str = Field(min_length=1, max_length=200, examples=["resnet20"])
    options: dict[str, Scalar] = {}
    num_classes: int = Field(ge=2, le=1_000_000, examples=[10])
    input: Input = Input()
    classifier_width: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Only for a student made by simkd; its config.json has it.",
    )

    def network(self) -> Network:
        """The network that the weights belong to."""
        return Network(
            architecture=self.architecture,
            options=self.options,
            num_classes=self.num_classes,
            input=self.input,
            classifier_width=self.classifier_width,
        )


class Model(View):
    """A network with weights. Taps name its `modules`, which only `GET /v1/models/{id}` lists."""

    id: str
    name: str
    state: Literal["inspecting", "ready", "rejected"]
    network: Network
    parameters: int | None
    size_bytes: int | None
    sha256: str | None
    modules: list[str] | None = None
    error: Failure | None
    inspect_job: str | None
    source_job: str | None = Field(description="The job that produced it, if it is a student.")
    created_at: Time


class DatasetCreate(Body):
    """Register an uploaded dataset; it is inspected before use."""

    name: str = Field(min_length=1, max_length=200)
    upload: str = Field(pattern=r"^upl_", description="A complete upload's id.")
    format: DatasetFormat


class Dataset(View):
    """A dataset; the counts are known once it is ready."""

    id: str
    name: str
    state: Literal["inspecting", "ready", "rejected"]
    format: DatasetFormat
    size_bytes: int
    sha256: str
    train: int | None = None
    test: int | None = None
    labelled: bool | None = None
    num_classes: int | None = None
    class_names: list[str] | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    error: Failure | None
    inspect_job: str | None
    created_at: Time


class Method(View):
    """A method: its summary, its needs, and the JSON Schema of its knobs."""

    name: str
    summary: str
    needs: list[str] = Field(description="All that it needs, for people.")
    needs_teacher: bool
    needs_one_teacher: bool = Field(description="Works with exactly one teacher.")
    needs_labels: bool
    needs_one_label: bool = Field(description="One label per image: no mixup, no cutmix.")
    needs_same_classes: bool = Field(description="Teachers must have the student's classes.")
    needs_same_channels: bool = Field(description="Levels of both networks must be equally wide.")
    least_classes: int = Field(description="Smallest number of classes.")
    least_batch: int = Field(description="Smallest number of samples in a batch.")
    knobs: dict[str, Any]


class Architecture(View):
    """A built-in network; `torchvision/NAME` and `timm/NAME` are accepted too."""

    name: str
    summary: str

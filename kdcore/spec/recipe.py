"""What a job's spec (ids) and a run's spec (paths) share: stages, data, precision, export."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kdcore.spec import augment as augmentations
from kdcore.spec.augment import Augmentation, mixes
from kdcore.spec.base import SpecModel
from kdcore.spec.methods import KNOBS, Objective
from kdcore.spec.spec_codes import SpecCode

Scalar = bool | int | float | str
Ensemble = Literal["arithmetic", "geometric"]
ExportFormat = Literal["safetensors", "onnx"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
DatasetFormat = Literal["folder", "npz", "idx"]
WeightsFormat = Literal["safetensors", "state_dict"]
ImageSize = tuple[
    Annotated[int, Field(ge=4, le=1024)],
    Annotated[int, Field(ge=4, le=1024)],
]


class Sgd(SpecModel):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.05, gt=0, le=100)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class AdamW(SpecModel):
    """AdamW: Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0, le=100)
    betas: tuple[
        Annotated[float, Field(ge=0, lt=1)],
        Annotated[float, Field(ge=0, lt=1)],
    ] = (0.9, 0.999)
    weight_decay: float = Field(0.05, ge=0)


Optimizer = Annotated[Sgd | AdamW, Field(discriminator="name")]


class Multistep(SpecModel):
    """Multiply the learning rate by `gamma` after each milestone, a fraction of the stage."""

    name: Literal["multistep"] = "multistep"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.625, 0.75, 0.875)
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0, description="Linear warm-up from 0, in epochs.")


class Cosine(SpecModel):
    """Lower the learning rate along half a cosine to `final_fraction` of its start."""

    name: Literal["cosine"] = "cosine"
    final_fraction: float = Field(0.0, ge=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0, description="Linear warm-up from 0, in epochs.")


Schedule = Annotated[Multistep | Cosine, Field(discriminator="name")]


class Ema(SpecModel):
    """An exponential moving average of the student's weights and batch-norm statistics."""

    decay: float = Field(
        0.999,
        gt=0,
        lt=1,
        description="Share of itself that the average keeps at every optimizer step. At the "
        "stage's n-th step it is at most (1 + n) / (10 + n), for the sake of short stages.",
    )


class Stage(SpecModel):
    """Epochs with one list of objectives, one optimizer and one schedule.

    The objectives decide what is trained: when none of them reads the logits, both networks run
    only as far as the deepest tap, and the student is trained up to there (FitNets stage 1).
    """

    epochs: int = Field(ge=1, le=100_000)
    objectives: tuple[Objective, ...] = Field(min_length=1)
    optimizer: Optimizer = Sgd()
    schedule: Schedule = Cosine()
    start_from: Literal["last", "best"] = Field(
        "last", description="Which weights of the previous stage this one starts from."
    )
    ema: Ema | None = Field(
        None,
        description="Average the student over the steps. The average takes the weights' place: it "
        "is validated, kept as best and last, and the next stage starts from it. Default: no "
        "averaging.",
    )


class Data(SpecModel):
    """Batches, augmentation, image size, and the validation images held out from training."""

    batch_size: int = Field(64, ge=1, le=65_536)
    accumulate: int = Field(
        1,
        ge=1,
        le=1024,
        description="Batches per optimizer step; its loss is their mean. Steps, schedules and "
        "progress count optimizer steps. Batch norms, and methods that compare the samples of a "
        "batch, see one batch at a time.",
    )
    augment: tuple[Augmentation, ...] = Field(
        ("crop", "flip"),
        max_length=8,
        description="Augmentations of training images: names, or objects with a `name` and knobs. "
        "They are applied in the order crop or random_resized_crop, flip, rand_augment, "
        "colour_jitter, cutout, mixup or cutmix, whatever their order here.",
    )
    image_size: ImageSize | None = Field(
        None, description="Height, width in pixels. Default: the dataset's own."
    )
    resize_to: int | None = Field(
        None,
        ge=4,
        le=1024,
        description="Resize the shorter side to this many pixels, keeping the proportions, and "
        "read the centre of `image_size` (ImageNet: 256 for 224). Default: stretch to it.",
    )
    pad_to: ImageSize | None = Field(
        None, description="Zero-pad images, centred, to this height and width. Default: no padding."
    )
    validation: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Fraction of the training split held out, drawn by seed, to pick `best`.",
    )
    train_limit: int | None = Field(
        None,
        ge=1,
        description="Use only this many training images, the first ones (few-data studies).",
    )

    _augment = field_validator("augment")(augmentations.check)

    @model_validator(mode="after")
    def _margin(self) -> "Data":
        if self.resize_to is None:
            return self
        if self.image_size is None:
            raise ValueError("resize_to needs an image_size to cut out")
        if self.pad_to is not None:
            raise ValueError("resize_to cuts and pad_to pads: choose one")
        if self.resize_to < min(self.image_size):
            raise ValueError(
                f"resize_to is {self.resize_to}, less than the {min(self.image_size)} pixels that "
                "image_size cuts out"
            )
        return self

    def per_step(self, samples: int) -> tuple[int, int]:
        """Images in a batch and batches in a step, when training on `samples`; an epoch has at
        least one step."""
        batch = max(1, min(self.batch_size, samples))
        return batch, max(1, min(self.accumulate, samples // batch))


class TeacherCache(SpecModel):
    """Keep teacher outputs on disk and read them again: in later epochs, and in other jobs with the
    same teacher, dataset and views. Logits, and features of one vector per sample, are kept; maps
    are not."""

    enabled: bool = True
    views: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Number of augmentations of each sample, shown in turn from epoch to epoch. "
        "Default: every epoch draws new ones, and outputs are kept only without augmentation.",
    )
    max_bytes: int = Field(
        4 * 2**30,
        ge=0,
        description="Largest file of one teacher's output; a larger one is not kept.",
    )


class Limits(SpecModel):
    """Bounds at which the service stops a job; `kd run` has none."""

    wall_clock_s: int = Field(7 * 24 * 3600, ge=1, description="Seconds that one attempt may run.")
    attempts: int = Field(3, ge=1, le=20, description="Attempts that may die before the job fails.")


class Recipe(SpecModel):
    """A distillation, but for its teachers, student and dataset."""

    ensemble: Ensemble = Field(
        "arithmetic", description="How the class probabilities of several teachers are averaged."
    )
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=16)
    data: Data = Data()
    precision: Precision = "auto"
    teacher_cache: TeacherCache = TeacherCache()
    baseline: bool = Field(
        True, description="Also train the same student from scratch with the same budget."
    )
    export: tuple[ExportFormat, ...] = Field(("safetensors", "onnx"), min_length=1)
    checkpoint_every_s: float = Field(30.0, ge=0, description="Seconds between checkpoints.")
    limits: Limits = Limits()
    seed: int = Field(0, ge=0, lt=2**31)

    @field_validator("data")
    @classmethod
    def _labels_that_methods_can_read(cls, data: Data, info: ValidationInfo) -> Data:
        methods = methods_of(info.data.get("stages", ()))
        found = [method for method in methods if KNOBS[method].needs_one_label]
        if found and mixes(data.augment):
            raise PydanticCustomError(
                SpecCode.MIXED_LABELS,
                "{method} needs one label or one sample per image, but mixup and cutmix make an "
                "image of two; leave them out, or use hard_target, kd, dist or a feature method "
                "other than crd",
                {"method": found[0]},
            )
        return data

    @field_validator("teacher_cache")
    @classmethod
    def _views_of_one_image(cls, cache: TeacherCache, info: ValidationInfo) -> TeacherCache:
        data = info.data.get("data")
        if cache.views is not None and data is not None and mixes(data.augment):
            raise PydanticCustomError(
                SpecCode.MIXING_WITH_VIEWS,
                "mixup and cutmix mix other images every epoch: leave them out, or leave views out",
            )
        return cache

    def methods(self) -> tuple[str, ...]:
        """Every method named in any stage, in order, with repeats."""
        return methods_of(self.stages)

    def needs_teacher(self) -> bool:
        """Whether any objective reads a teacher."""
        return any(KNOBS[method].needs_teacher for method in self.methods())


def methods_of(stages: Sequence[Stage]) -> tuple[str, ...]:
    """Every method named in these stages, in order, with repeats."""
    return tuple(o.method for stage in stages for o in stage.objectives)


def teachers_where_needed(teachers: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    """Validate a recipe's field `teachers`, its default too, so that the error points at it."""
    methods = methods_of(info.data.get("stages", ()))
    needing = [method for method in methods if KNOBS[method].needs_teacher]
    if needing and not teachers:
        raise PydanticCustomError(
            SpecCode.TEACHER_NEEDED,
            "{method} needs at least one teacher; add one under `teachers`",
            {"method": needing[0]},
        )
    return teachers

"""Parts that a job's spec (ids) and a run's spec (paths) share: stages, data, precision, export."""

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
    """The rate is multiplied by `gamma` after each milestone, a fraction of the stage."""

    name: Literal["multistep"] = "multistep"
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.625, 0.75, 0.875)
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0, description="Linear warm-up from 0, in epochs.")


class Cosine(SpecModel):
    """The rate falls along half a cosine to `final_fraction` of its start."""

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
        description="What the average keeps of itself at every optimizer step, at most: "
        "(1 + n) / (10 + n) at the stage's n-th from 0, so that short stages can have it too.",
    )


class Stage(SpecModel):
    """Epochs with one list of objectives, one optimizer and one schedule.

    What learns follows from the objectives: when none reads the logits, both networks run only as
    far as the deepest tap, so the student learns up to there (FitNets stage 1).
    """

    epochs: int = Field(ge=1, le=100_000)
    objectives: tuple[Objective, ...] = Field(min_length=1)
    optimizer: Optimizer = Sgd()
    schedule: Schedule = Cosine()
    start_from: Literal["last", "best"] = Field(
        "last", description="Which weights of the stage before this stage starts from."
    )
    ema: Ema | None = Field(
        None,
        description="Average the student over the steps: the average is validated, is the best and "
        "the last of the stage, and is what the next stage starts from; none: the weights as they "
        "are.",
    )


class Data(SpecModel):
    """Batches, augmentation, image size and the validation part held out of the training split."""

    batch_size: int = Field(64, ge=1, le=65_536)
    accumulate: int = Field(
        1,
        ge=1,
        le=1024,
        description="Batches that share one optimizer step, whose loss is their mean; steps, "
        "schedules and progress count optimizer steps. Batch norms, and methods that compare the "
        "samples of a batch, see one batch at a time.",
    )
    augment: tuple[Augmentation, ...] = Field(
        ("crop", "flip"),
        max_length=8,
        description="Of training images: names, or objects of a `name` and knobs. Applied in the "
        "order crop or random_resized_crop, flip, rand_augment, colour_jitter, cutout, mixup or "
        "cutmix, however they are listed.",
    )
    image_size: ImageSize | None = Field(
        None, description="Height, width in pixels; none: the dataset's own."
    )
    resize_to: int | None = Field(
        None,
        ge=4,
        le=1024,
        description="Resize the shorter side to so many pixels, keeping the shape, and read the "
        "centre of `image_size` (ImageNet: 256 for 224); none: stretch to `image_size`.",
    )
    pad_to: ImageSize | None = Field(
        None, description="Zero-pad images, centred, to this height and width; none: leave."
    )
    validation: float = Field(
        0.1, ge=0, lt=1, description="Part of the training split held out by seed, to pick `best`."
    )
    train_limit: int | None = Field(
        None, ge=1, description="Use only the first so many training images (few-data studies)."
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
        """Images in a batch and batches in a step, where so many samples are trained on: an epoch
        has one step at least."""
        batch = max(1, min(self.batch_size, samples))
        return batch, max(1, min(self.accumulate, samples // batch))


class TeacherCache(SpecModel):
    """Teachers' outputs kept on disk and read again: in later epochs, and by other jobs with the
    same teacher, dataset and views. Logits, and features of one vector a sample, are kept; maps are
    not."""

    enabled: bool = True
    views: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Augmentations of each sample, shown in turn from epoch to epoch; none: every "
        "epoch has its own, and outputs are kept where images are not augmented.",
    )
    max_bytes: int = Field(
        4 * 2**30, ge=0, description="What would take more is not kept, of one teacher's output."
    )


class Limits(SpecModel):
    """Bounds after which a job is stopped by the service."""

    wall_clock_s: int = Field(7 * 24 * 3600, ge=1, description="Seconds one attempt may run.")
    attempts: int = Field(3, ge=1, le=20, description="Attempts before a job counts as poison.")


class Recipe(SpecModel):
    """All that a distillation says besides which teachers, student and dataset."""

    ensemble: Ensemble = Field("arithmetic", description="Mean of the class probabilities.")
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
    """What a recipe's field `teachers` is validated with, defaults too, so that the error points
    at it."""
    methods = methods_of(info.data.get("stages", ()))
    needing = [method for method in methods if KNOBS[method].needs_teacher]
    if needing and not teachers:
        raise PydanticCustomError(
            SpecCode.TEACHER_NEEDED,
            "{method} needs at least one teacher; add one under `teachers`",
            {"method": needing[0]},
        )
    return teachers

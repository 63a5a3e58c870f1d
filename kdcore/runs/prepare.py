"""Opens everything a distillation needs and checks that it fits together, before any training."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from kdcore.data.batches import Adapter, Loader, hold_out
from kdcore.data.images import ImageData, Split
from kdcore.data.pixels import Pixels
from kdcore.data.sink import LogFn
from kdcore.data.source import load_dataset
from kdcore.features.probe import Probe
from kdcore.networks.classifier import find_classifier
from kdcore.networks.weights import load_network
from kdcore.objectives.base import METHODS, MethodContext
from kdcore.objectives.objectives import Objectives
from kdcore.runs.student import StudentBuilder, describe_student
from kdcore.runtime.device import ChannelsLast, open_device
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError, pointing
from kdcore.runtime.hashing import file_sha256
from kdcore.spec.run import PACKS_DIR, TEACHER_OUTPUTS_DIR, DistillRun, Network, RunTeacher
from kdcore.spec.spec_codes import SpecCode
from kdcore.teacher_cache.output_cache import TeacherOutputCache, fingerprint
from kdcore.training.arms import Arm, plan_arms
from kdcore.training.evaluate import EvalSet
from kdcore.training.stage import StageSetup
from kdcore.training.teachers import Teacher
from kdcore.training.trainer import TrainingSetup

SplitName = Literal["test", "validation", "none"]


@dataclass(frozen=True)
class PreparedRun:
    """A distillation ready to train. `eval_set`: the images of `split`, for the final scores."""

    setup: TrainingSetup
    student: StudentBuilder
    eval_set: EvalSet | None
    split: SplitName
    warnings: tuple[str, ...]


def prepare(
    spec: DistillRun, folder: Path, log: LogFn = lambda _: None, world: World = ALONE
) -> PreparedRun:
    """Load dataset and teachers, describe the student, and build every stage's methods once.

    `log` is called with the progress of what takes long. Raises RunError for anything in the spec
    or the files that does not fit.
    """
    return _Builder(spec, folder, log, world).build()


class _Builder:
    """Builds each part of a run once; a part needs only those above it."""

    def __init__(self, spec: DistillRun, folder: Path, log: LogFn, world: World) -> None:
        self.spec = spec
        self.folder = folder
        self.log = log
        self.world = world
        # Before everything else: it sets the number of threads, which decoding images uses too.
        self.device = open_device(spec.device, spec.precision, spec.threads, world)

    @cached_property
    def data(self) -> ImageData:
        """The dataset, at the size that the spec asks for."""
        dataset, data = self.spec.dataset, self.spec.data
        return load_dataset(
            dataset.model_copy(update={"path": str(self.folder / dataset.path)}),
            data.image_size,
            resize_to=data.resize_to,
            pad_to=data.pad_to,
            train_limit=data.train_limit,
            packs=self.folder / (dataset.packs or PACKS_DIR),
            log=self.log,
        )

    @cached_property
    def indices(self) -> tuple[Tensor, Tensor]:
        """Positions in the training split: of the samples trained on, and of those held out."""
        train = self.data.train
        return hold_out(len(train), train.labels_N, self.spec.data.validation, self.spec.seed)

    @cached_property
    def output_cache(self) -> TeacherOutputCache | None:
        """The cache of teacher outputs; None if it is disabled or several processes train."""
        cache = self.spec.teacher_cache
        if not (cache.enabled and self.spec.teachers and self.world.size == 1):
            return None
        facts = {
            "images": fingerprint(self.data.train),
            "augment": self.spec.data.model_dump(mode="json")["augment"],
            "precision": self.device.precision,
            "device": self.device.torch.type,
        }
        views = cache.views if self.spec.data.augment else 1
        folder = self.folder / TEACHER_OUTPUTS_DIR
        return TeacherOutputCache(folder, facts, len(self.data.train), views, cache.max_bytes)

    @cached_property
    def teachers(self) -> tuple[Teacher, ...]:
        """The teachers with their weights, frozen, on the device."""
        return tuple(self._teacher(index, t) for index, t in enumerate(self.spec.teachers))

    def _teacher(self, index: int, teacher: RunTeacher) -> Teacher:
        path = self.folder / teacher.weights
        with pointing(f"/teachers/{index}"):
            network = load_network(teacher.network, path).requires_grad_(False).eval()
            adapter = self._adapter(teacher.network)
        return Teacher(
            name=teacher.name,
            spec=teacher.network,
            network=self.device.place(network),
            adapter=adapter,
            weight=teacher.weight,
            batch_norm=teacher.batch_norm,
            size_bytes=path.stat().st_size,
            sha256=teacher.sha256 or ("" if self.output_cache is None else file_sha256(path)),
        )

    @cached_property
    def classifier(self) -> nn.Linear | None:
        """The first teacher's classifier, if a method reuses it."""
        if "simkd" not in self.spec.methods() or not self.teachers:
            return None
        with pointing("/teachers/0"):
            return find_classifier(self.teachers[0].network, self.teachers[0].spec.num_classes)[1]

    @cached_property
    def student(self) -> StudentBuilder:
        """Builds the networks of the arms."""
        network = describe_student(self.spec, self.data, self.indices[0], self.classifier)
        weights = self.spec.student.initial_weights
        path = None if weights is None else self.folder / weights
        return StudentBuilder(network, self.device, self.spec.seed, path, self.classifier)

    @cached_property
    def adapter(self) -> nn.Module:
        """Turns images into the student's input."""
        return self._adapter(self.student.network)

    def _adapter(self, network: Network) -> nn.Module:
        adapter = nn.Sequential(Adapter(network.input, self.data.channels), ChannelsLast())
        return adapter.to(self.device.torch)

    @cached_property
    def batches(self) -> tuple[int, int]:
        """Images in a batch, of all processes, and batches in an optimizer step."""
        size, accumulate = self.spec.data.per_step(len(self.indices[0]))
        if size % self.world.size:
            fitting = max(1, size // self.world.size) * self.world.size
            raise RunError(
                SpecCode.BATCH_NOT_DIVISIBLE,
                f"{self.world.size} processes cannot share batches of {size} images equally; a "
                f"batch_size of {fitting} would do",
                pointer="/data/batch_size",
            )
        return size, accumulate

    @cached_property
    def context(self) -> MethodContext:
        """What methods are built from: the networks and the training samples."""
        data, labels_N = self.data, self.data.train.labels_N
        shape = (1, data.channels, data.height, data.width)
        image_1CHW = torch.zeros(shape, device=self.device.torch)
        teachers = tuple(
            Probe(t.name, t.network, t.spec.num_classes, t.adapter(image_1CHW))
            for t in self.teachers
        )
        with pointing("/student"):
            student = self.student("student")
        num_classes = self.student.network.num_classes
        return MethodContext(
            student=Probe("the student", student, num_classes, self.adapter(image_1CHW)),
            teachers=teachers,
            weights=tuple(t.weight for t in self.teachers),
            ensemble=self.spec.ensemble,
            batch_size=self.batches[0],
            training_N=self.indices[0],
            labels_N=labels_N,
            labelled=labels_N is not None,
        )

    @cached_property
    def arms(self) -> tuple[tuple[Arm, ...], str | None]:
        """The arms, and the reason if the baseline that the spec asks for is left out.

        Builds every stage's methods once, so that a misfit in a later stage is an error now.
        """
        arms, no_baseline = plan_arms(self.spec, self.context.labelled)
        for arm in arms:
            for index, stage in enumerate(arm.stages):
                Objectives(stage, self.context, f"/stages/{index}")
        return arms, no_baseline

    @cached_property
    def pixels(self) -> Pixels:
        """The pixels of the training split, which the loader and the validation set share."""
        return Pixels(self.data.train, self.device.torch)

    @cached_property
    def loader(self) -> Loader:
        """Loads what each optimizer step learns from."""
        size, accumulate = self.batches
        data = self.spec.data.model_copy(update={"batch_size": size * accumulate})
        views = self.spec.teacher_cache.views
        return Loader(self.pixels, self.indices[0], data, self.spec.seed, self.device.torch, views)

    @cached_property
    def validation_set(self) -> EvalSet | None:
        """The part of the training split that is held out."""
        held_out_N = self.indices[1]
        return self._eval_set(self.data.train, self.pixels, held_out_N) if len(held_out_N) else None

    @cached_property
    def test_set(self) -> EvalSet | None:
        """The test split."""
        test = self.data.test
        return None if test is None else self._eval_set(test, Pixels(test, self.device.torch), None)

    def _eval_set(self, split: Split, pixels: Pixels, indices: Tensor | None) -> EvalSet:
        content = None if self.output_cache is None else fingerprint(split)
        return EvalSet(pixels, indices, self.spec.data.batch_size, self.device.torch, content)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is legal but will disappoint."""
        arms, no_baseline = self.arms
        found = (no_baseline, _missing_classes(self.data), _untrained_classifier(arms[0]))
        return tuple(warning for warning in found if warning)

    def build(self) -> PreparedRun:
        """Put the parts together."""
        shared = StageSetup(
            context=self.context,
            teachers=self.teachers,
            adapter=self.adapter,
            device=self.device,
            accumulate=self.batches[1],
            output_cache=self.output_cache,
            world=self.world,
        )
        setup = TrainingSetup(
            arms=self.arms[0],
            build_student=self.student,
            shared=shared,
            loader=self.loader,
            validation_set=self.validation_set,
            seed=self.spec.seed,
        )
        eval_set = self.test_set or self.validation_set
        split: SplitName = "test" if self.test_set else "validation" if eval_set else "none"
        return PreparedRun(setup, self.student, eval_set, split, self.warnings)


def _missing_classes(data: ImageData) -> str | None:
    """A warning if classes have no training image, as when only the first of a sorted set count."""
    if data.train.labels_N is None or data.num_classes is None:
        return None
    missing = data.num_classes - len(torch.unique(data.train.labels_N))
    if not missing:
        return None
    return f"{missing} of {data.num_classes} classes have no image in the training data"


def _untrained_classifier(arm: Arm) -> str | None:
    """A warning if no stage reads the student's logits, so that its classifier learns nothing."""
    objectives = [o for stage in arm.stages for o in stage.objectives]
    if any(o.method == "simkd" or METHODS[type(o)].student_logits for o in objectives):
        return None  # simkd reuses the teacher's classifier
    return (
        "no objective reads the student's logits, so its classifier keeps its initial weights; add "
        "hard_target or kd"
    )

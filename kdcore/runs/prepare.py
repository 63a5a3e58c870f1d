"""Opens all that a distillation needs and checks that it fits together, before anything trains."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from kdcore.data.batches import Adapter, Loader, hold_out
from kdcore.data.images import ImageData
from kdcore.data.pixels import Pixels
from kdcore.data.sink import LogFn
from kdcore.data.source import load_dataset
from kdcore.data.statistics import data_statistics
from kdcore.features.probe import Probe
from kdcore.networks.classifier import Borrowed, find_classifier
from kdcore.networks.weights import load_network
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import METHODS, MethodContext
from kdcore.objectives.objectives import Objectives
from kdcore.runtime.device import ChannelsLast, Device, open_device
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError, pointing, refuse
from kdcore.runtime.seeds import derive_seed, seed_everything
from kdcore.spec.fit import NO_CLASSES
from kdcore.spec.names import ArmName
from kdcore.spec.run import PACKS_DIR, TEACHER_OUTPUTS_DIR, DistillRun, Input, Network, RunTeacher
from kdcore.spec.spec_codes import SpecCode
from kdcore.teacher_cache.output_cache import TeacherOutputCache, file_hash, fingerprint
from kdcore.training.arms import Arm, plan_arms
from kdcore.training.evaluate import EvalSet
from kdcore.training.teachers import Teacher
from kdcore.training.trainer import TrainingSetup

SplitName = Literal["test", "validation", "none"]


@dataclass(frozen=True)
class PreparedRun:
    """A distillation ready to train. `eval_set`: the images of `split`, which results come from."""

    setup: TrainingSetup
    network: Network
    eval_set: EvalSet | None
    split: SplitName
    warnings: tuple[str, ...]


def prepare(
    spec: DistillRun, folder: Path, log: LogFn = lambda _: None, world: World = ALONE
) -> PreparedRun:
    """Load dataset, teachers and student, and build every stage's methods once.

    `log` hears what takes long. Raises RunError for everything in the spec or the files that does
    not fit.
    """
    device = open_device(spec.device, spec.precision, spec.threads, world)
    data = _load_data(spec, folder, log)
    count, labels_N = len(data.train), data.train.labels_N
    training, held_out = hold_out(count, labels_N, spec.data.validation, spec.seed)
    output_cache = _output_cache(spec, folder, data, device) if world.size == 1 else None
    teachers = tuple(
        _load_teacher(index, teacher, folder, data, device, output_cache is not None)
        for index, teacher in enumerate(spec.teachers)
    )
    network = _student_network(spec, data, training, teachers)
    build = _student_builder(spec, network, folder, device, teachers)
    with pointing("/student"):
        student = build("student")
    adapter = _adapter(network, data, device)
    image_1CHW = torch.zeros(1, data.channels, data.height, data.width, device=device.torch)
    probe = Probe("the student", student, network.num_classes, adapter(image_1CHW))
    context = _context(spec, labels_N, training, probe, teachers, image_1CHW)
    arms, no_baseline = plan_arms(spec, context.labelled)
    _check(arms, context)
    batch_size = spec.data.batch_size
    size, accumulate = spec.data.per_step(len(training))
    _check_share(size, world)
    per_step = spec.data.model_copy(update={"batch_size": size * accumulate})
    pixels = Pixels(data.train, device.torch)
    validation = test = None
    if len(held_out):
        content = None if output_cache is None else fingerprint(data.train)
        validation = EvalSet(pixels, held_out, batch_size, device.torch, content)
    if data.test is not None:
        content = None if output_cache is None else fingerprint(data.test)
        test = EvalSet(Pixels(data.test, device.torch), None, batch_size, device.torch, content)
    setup = TrainingSetup(
        arms=arms,
        student=build,
        adapter=adapter,
        teachers=teachers,
        context=context,
        loader=Loader(
            pixels, training, per_step, spec.seed, device.torch, spec.teacher_cache.views
        ),
        eval_set=validation,
        device=device,
        seed=spec.seed,
        output_cache=output_cache,
        accumulate=accumulate,
        world=world,
    )
    warnings = [w for w in (no_baseline, _missing_classes(data), _untrained(arms[0])) if w]
    split: SplitName = "test" if test else "validation" if validation else "none"
    return PreparedRun(setup, network, test or validation, split, tuple(warnings))


def _load_data(spec: DistillRun, folder: Path, log: LogFn) -> ImageData:
    dataset = spec.dataset.model_copy(update={"path": str(folder / spec.dataset.path)})
    return load_dataset(
        dataset,
        spec.data.image_size,
        resize_to=spec.data.resize_to,
        pad_to=spec.data.pad_to,
        train_limit=spec.data.train_limit,
        packs=folder / (spec.dataset.packs or PACKS_DIR),
        log=log,
    )


def _adapter(network: Network, data: ImageData, device: Device) -> nn.Module:
    """From the dataset's images to what this network reads."""
    return nn.Sequential(Adapter(network.input, data.channels), ChannelsLast()).to(device.torch)


def _output_cache(
    spec: DistillRun, folder: Path, data: ImageData, device: Device
) -> TeacherOutputCache | None:
    """Where teacher outputs are kept."""
    cache = spec.teacher_cache
    if not (cache.enabled and spec.teachers):
        return None
    facts = {
        "images": fingerprint(data.train),
        "augment": spec.data.model_dump(mode="json")["augment"],
        "precision": device.precision,
        "device": device.torch.type,
    }
    views = cache.views if spec.data.augment else 1
    where = folder / TEACHER_OUTPUTS_DIR
    return TeacherOutputCache(where, facts, len(data.train), views, cache.max_bytes)


def _load_teacher(
    index: int, teacher: RunTeacher, folder: Path, data: ImageData, device: Device, hashed: bool
) -> Teacher:
    path = folder / teacher.weights
    with pointing(f"/teachers/{index}"):
        network = load_network(teacher.network, path).requires_grad_(False).eval()
        adapter = _adapter(teacher.network, data, device)
    return Teacher(
        name=teacher.name,
        spec=teacher.network,
        network=_placed(network, device),
        adapter=adapter,
        weight=teacher.weight,
        batch_norm=teacher.batch_norm,
        size_bytes=path.stat().st_size,
        sha256=teacher.sha256 or (file_hash(path) if hashed else ""),
    )


def plain(network: Network) -> Network:
    """The network with a classifier of its own, as the baseline has it."""
    return network.model_copy(update={"classifier_width": None})


def _student_network(
    spec: DistillRun, data: ImageData, training: torch.Tensor, teachers: Sequence[Teacher]
) -> Network:
    """The student's description: class count and input follow the data, else the teachers."""
    num_classes = data.num_classes or next((t.network.num_classes for t in spec.teachers), None)
    refuse(NO_CLASSES if num_classes is None else None)
    assert num_classes is not None
    mean, std = data_statistics(data.train, training)
    shape = {"channels": data.channels, "height": data.height, "width": data.width}
    return Network(
        architecture=spec.student.architecture,
        options=spec.student.options,
        num_classes=num_classes,
        input=Input(**shape, mean=mean, std=std),
        classifier_width=_borrowed_width(spec, teachers),
    )


def _borrowed_width(spec: DistillRun, teachers: Sequence[Teacher]) -> int | None:
    """Features that the first teacher's classifier reads, where a method reuses it."""
    if "simkd" not in spec.methods() or not teachers:
        return None
    with pointing("/teachers/0"):
        _, classifier = find_classifier(teachers[0].network, teachers[0].spec.num_classes)
    return classifier.in_features


def _lend(student: nn.Module, teacher: Teacher) -> None:
    """Give the student the teacher's classifier."""
    _, classifier = find_classifier(teacher.network, teacher.spec.num_classes)
    borrowed = [m for m in student.modules() if isinstance(m, Borrowed)][-1]
    if borrowed.classifier.weight.shape == classifier.weight.shape:  # else a method says why not
        borrowed.classifier.load_state_dict(
            {"bias": torch.zeros(classifier.out_features), **classifier.state_dict()}
        )


def _student_builder(
    spec: DistillRun,
    network: Network,
    folder: Path,
    device: Device,
    teachers: Sequence[Teacher],
) -> Callable[[ArmName], nn.Module]:
    """A function that makes a arm's network with the same initial weights every time."""
    initial = spec.student.initial_weights

    def build(arm: ArmName) -> nn.Module:
        seed_everything(derive_seed(spec.seed, "student"))
        own = network if arm == "student" else plain(network)
        if initial is None:
            student = build_network(own)
        else:
            try:
                student = load_network(own, folder / initial)
            except RunError as error:
                raise RunError(error.code, error.message, pointer="/initial_weights") from error
        if own.classifier_width is not None:
            _lend(student, teachers[0])
        return _placed(student, device)

    return build


def _placed(network: nn.Module, device: Device) -> nn.Module:
    return network.to(device.torch, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _context(
    spec: DistillRun,
    labels_N: torch.Tensor | None,
    training_N: torch.Tensor,
    student: Probe,
    teachers: Sequence[Teacher],
    image_1CHW: torch.Tensor,
) -> MethodContext:
    return MethodContext(
        student=student,
        teachers=tuple(
            Probe(t.name, t.network, t.spec.num_classes, t.adapter(image_1CHW)) for t in teachers
        ),
        weights=tuple(t.weight for t in teachers),
        ensemble=spec.ensemble,
        batch_size=min(spec.data.batch_size, len(training_N)),
        training_N=training_N,
        labels_N=labels_N,
        labelled=labels_N is not None,
    )


def _check(arms: Sequence[Arm], context: MethodContext) -> None:
    """Build every stage's methods: what does not fit is said now, not after the first stage."""
    for arm in arms:
        for index, stage in enumerate(arm.stages):
            Objectives(stage, context, f"/stages/{index}")


def _check_share(size: int, world: World) -> None:
    """Raises RunError `batch_not_divisible`."""
    if size % world.size:
        fits = max(1, size // world.size) * world.size
        raise RunError(
            SpecCode.BATCH_NOT_DIVISIBLE,
            f"{world.size} processes cannot share batches of {size} equally; {fits} would do",
            pointer="/data/batch_size",
        )


def _missing_classes(data: ImageData) -> str | None:
    """A warning where classes have no training image, as the first so many of a sorted set do."""
    if data.train.labels_N is None or data.num_classes is None:
        return None
    missing = data.num_classes - len(torch.unique(data.train.labels_N))
    if not missing:
        return None
    return f"{missing} of {data.num_classes} classes have no image among those trained on"


def _untrained(arm: Arm) -> str | None:
    """A warning where no stage reads the student's logits: its classifier learns nothing."""
    if "simkd" in {o.method for stage in arm.stages for o in stage.objectives}:
        return None  # it has the teacher's
    if any(METHODS[type(o)].student_logits for stage in arm.stages for o in stage.objectives):
        return None
    return "no objective reads the logits: the classifier stays as it began; add hard_target or kd"

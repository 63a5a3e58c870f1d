"""Whether a job's spec fits what it names: every misfit with a code and a JSON pointer."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.db.tables import Dataset, Model
from distillery.store.errors import Invalid, NotReady
from distillery.wire.jobspec import JobSpec
from kdcore.spec.architectures import ARCHITECTURES, level_channels
from kdcore.spec.knobs.base import Knobs, MapKnobs, Tap
from kdcore.spec.knobs.maps import FitnetKnobs, FspKnobs
from kdcore.spec.methods import LEAST_BATCH, LEAST_CLASSES, NEEDS_LABELS, NEEDS_SAME_CLASSES
from kdcore.spec.result import InspectDatasetResult
from kdcore.spec.run import Network

Item = TypeVar("Item", Model, Dataset)
_ADAPTABLE = {(1, 3), (3, 1)}  # grey repeated, colour to luma


@dataclass(frozen=True)
class Named:
    """What a spec names, all of it ready."""

    dataset: InspectDatasetResult
    teachers: tuple[Model, ...]
    initial: Model | None

    @property
    def num_classes(self) -> int | None:
        """Of the dataset, else of the first teacher; None: nobody says."""
        if self.dataset.num_classes is not None:
            return self.dataset.num_classes
        return network_of(self.teachers[0]).num_classes if self.teachers else None


def check(s: Session, tenant: str, spec: JobSpec, *, lock: bool) -> Named:
    """What the spec names. Raises Invalid or NotReady; `lock` keeps it from being deleted."""
    check_architecture(spec.student.architecture, "/student/architecture")
    dataset = _find(s, Dataset, tenant, spec.dataset, "/dataset", lock)
    teachers = tuple(
        _find(s, Model, tenant, teacher.model, f"/teachers/{i}/model", lock)
        for i, teacher in enumerate(spec.teachers)
    )
    first = spec.student.initial_model
    initial = None
    if first is not None:
        initial = _find(s, Model, tenant, first, "/student/initial_model", lock)
    named = Named(InspectDatasetResult.model_validate(dataset.info), teachers, initial)
    _check_labels(spec, named)
    _check_classes(spec, named)
    _check_channels(named)
    _check_padding(spec, named)
    _check_initial(spec, named)
    _check_least(spec, named)
    _check_one_teacher(spec)
    _check_fsp(spec, named)
    _check_taps(spec, named)
    return named


def check_architecture(name: str, pointer: str) -> None:
    """Raises Invalid `unknown_architecture` for a name that can be none of ours or a library's."""
    library, slash, rest = name.partition("/")
    if name in ARCHITECTURES or (slash and rest and library in ("torchvision", "timm")):
        return
    raise Invalid(
        f"no architecture {name!r}{_suggest(name, ARCHITECTURES)}",
        code="unknown_architecture",
        pointer=pointer,
    )


def network_of(model: Model) -> Network:
    """The network that a model's weights belong to."""
    return Network.model_validate(model.network)


def _find(
    s: Session, table: type[Item], tenant: str, item_id: str, pointer: str, lock: bool
) -> Item:
    query = select(table).where(table.id == item_id, table.tenant == tenant)
    item = s.scalar(query.with_for_update(read=True) if lock else query)
    kind = table.__name__.lower()
    if item is None:
        raise Invalid(f"no {kind} {item_id}", code=f"unknown_{kind}", pointer=pointer)
    if item.state == "rejected":
        why = (item.error or {}).get("message", "see its error")
        raise Invalid(f"{item_id} was rejected: {why}", code="rejected", pointer=pointer)
    if item.state != "ready":
        raise NotReady(f"{item_id} is still being inspected", pointer=pointer)
    return item


def _objectives(spec: JobSpec) -> Iterator[tuple[str, Knobs]]:
    for i, stage in enumerate(spec.stages):
        for j, objective in enumerate(stage.objectives):
            yield f"/stages/{i}/objectives/{j}", objective


def _check_labels(spec: JobSpec, named: Named) -> None:
    if named.dataset.labelled:
        return
    for pointer, objective in _objectives(spec):
        if objective.method in NEEDS_LABELS:
            raise Invalid(
                f"{objective.method} needs labels, and the dataset has none",
                code="labels_needed",
                pointer=pointer,
            )


def _check_classes(spec: JobSpec, named: Named) -> None:
    wanted = named.num_classes
    if wanted is None:
        raise Invalid(
            "neither the dataset nor a teacher says how many classes there are",
            code="class_count",
            pointer="/dataset",
        )
    needing = sorted(NEEDS_SAME_CLASSES.intersection(spec.methods()))
    for i, teacher in enumerate(named.teachers):
        found = network_of(teacher).num_classes
        if needing and found != wanted:
            raise Invalid(
                f"{needing[0]} compares class by class, but this teacher has {found} classes and "
                f"the student {wanted}",
                code="class_count",
                pointer=f"/teachers/{i}/model",
            )


def _check_channels(named: Named) -> None:
    given = named.dataset.channels
    for i, teacher in enumerate(named.teachers):
        eats = network_of(teacher).input.channels
        if eats != given and (given, eats) not in _ADAPTABLE:
            raise Invalid(
                f"the images have {given} channels, this teacher takes {eats}",
                code="channels",
                pointer=f"/teachers/{i}/model",
            )


def _check_padding(spec: JobSpec, named: Named) -> None:
    pad = spec.data.pad_to
    size = spec.data.image_size or (named.dataset.height, named.dataset.width)
    if pad is not None and (pad[0] < size[0] or pad[1] < size[1]):
        raise Invalid(
            f"{size[0]}x{size[1]} images cannot be padded to {pad[0]}x{pad[1]}",
            code="pad_to",
            pointer="/data/pad_to",
        )


def _check_initial(spec: JobSpec, named: Named) -> None:
    if named.initial is None:
        return
    network = network_of(named.initial)
    student = spec.student
    misfits = [
        (
            "architecture",
            (network.architecture, network.options),
            (student.architecture, student.options),
        ),
        ("class_count", network.num_classes, named.num_classes),
        ("channels", network.input.channels, named.dataset.channels),
    ]
    for code, has, needs in misfits:
        if has != needs:
            raise Invalid(
                f"these weights do not fit the student: {code} {has}, not {needs}",
                code=code,
                pointer="/student/initial_model",
            )


def _check_least(spec: JobSpec, named: Named) -> None:
    """Classes and samples that a method needs to have anything to compare."""
    batch = min(spec.data.batch_size, spec.data.train_limit or named.dataset.train)
    for pointer, objective in _objectives(spec):
        method = objective.method
        classes = LEAST_CLASSES.get(method, 0)
        if named.num_classes is not None and named.num_classes < classes:
            raise Invalid(
                f"{method} compares the classes besides the label's: it needs {classes} classes at "
                f"least, not {named.num_classes}; use kd",
                code="too_few_classes",
                pointer=pointer,
            )
        if batch < LEAST_BATCH.get(method, 0):
            raise Invalid(
                f"{method} compares the samples of a batch: it needs {LEAST_BATCH[method]} at "
                f"least, not {batch}",
                code="batch_too_small",
                pointer=pointer,
            )


def _check_one_teacher(spec: JobSpec) -> None:
    if "simkd" in spec.methods() and len(spec.teachers) != 1:
        raise Invalid(
            f"simkd borrows one teacher's classifier: name one, not {len(spec.teachers)}",
            code="one_teacher",
            pointer="/teachers",
        )


def _check_fsp(spec: JobSpec, named: Named) -> None:
    """FSP pairs maps channel by channel. What cannot be known here is checked as the run starts."""
    own = level_channels(spec.student.architecture, spec.student.options)
    for pointer, objective in _objectives(spec):
        if not isinstance(objective, FspKnobs) or objective.student_taps or objective.teacher_taps:
            continue
        for teacher in named.teachers:
            network = network_of(teacher)
            theirs = level_channels(network.architecture, network.options)
            count = min(len(own or ()), len(theirs or ()), objective.levels)
            if own and theirs and own[-count:] != theirs[-count:]:
                raise Invalid(
                    f"fsp needs equal channels, but the levels of {spec.student.architecture} have "
                    f"{own[-count:]} and those of {teacher.id} ({network.architecture}) "
                    f"{theirs[-count:]}; take networks of one width, or use at, sp or reviewkd",
                    code="fsp_channels",
                    pointer=pointer,
                )


def _check_taps(spec: JobSpec, named: Named) -> None:
    for pointer, objective in _objectives(spec):
        own: dict[str, Tap] = {}
        theirs: dict[str, Tap] = {}
        if isinstance(objective, FitnetKnobs):
            own |= {"guided": objective.guided} if objective.guided else {}
            theirs |= {"hint": objective.hint} if objective.hint else {}
        if isinstance(objective, MapKnobs):
            own |= {f"student_taps/{i}": tap for i, tap in enumerate(objective.student_taps or ())}
            theirs |= {
                f"teacher_taps/{i}": tap for i, tap in enumerate(objective.teacher_taps or ())
            }
        for knob, tap in theirs.items():
            for teacher in named.teachers:
                _check_tap(tap, teacher, f"{pointer}/{knob}/module")
        for knob, tap in own.items():
            if named.initial is not None:
                _check_tap(tap, named.initial, f"{pointer}/{knob}/module")


def _check_tap(tap: Tap, model: Model, pointer: str) -> None:
    """A student made here has no list of modules; its taps are checked when the run starts."""
    if model.modules is None or tap.module in model.modules:
        return
    raise Invalid(
        f"{model.id} has no module {tap.module!r}{_suggest(tap.module, model.modules)}",
        code="unknown_tap",
        pointer=pointer,
    )


def _suggest(wrong: str, right: Any) -> str:
    close = get_close_matches(wrong, list(right), 3)
    return f"; did you mean {' or '.join(close)}?" if close else ""

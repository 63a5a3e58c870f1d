"""Whether a job's spec fits what it names: every misfit with a code and a JSON pointer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.db.tables import Dataset, Model
from distillery.store.errors import Invalid, NotReady
from distillery.wire.jobspec import JobSpec
from distillery.wire.request_codes import RequestCode
from kdcore.spec import fit
from kdcore.spec.architectures import ARCHITECTURES, level_channels
from kdcore.spec.codes import RunCode
from kdcore.spec.faults import Fault
from kdcore.spec.knobs.base import Knobs, MapKnobs, Tap
from kdcore.spec.knobs.maps import FitnetKnobs
from kdcore.spec.result import InspectDatasetResult
from kdcore.spec.run import Network

Item = TypeVar("Item", Model, Dataset)
UNKNOWN = {Model: RequestCode.UNKNOWN_MODEL, Dataset: RequestCode.UNKNOWN_DATASET}


@dataclass(frozen=True)
class Named:
    """What a spec names, all of it ready."""

    dataset: InspectDatasetResult
    teachers: tuple[Model, ...]
    initial: Model | None

    @property
    def num_classes(self) -> int | None:
        """Of the dataset, else of the first teacher; None: neither is known."""
        if self.dataset.num_classes is not None:
            return self.dataset.num_classes
        return network_of(self.teachers[0]).num_classes if self.teachers else None


def check(s: Session, tenant: str, spec: JobSpec, *, lock: bool) -> Named:
    """What the spec names. Raises Invalid or NotReady; `lock` keeps it from being deleted."""
    check_architecture(spec.student.architecture, "/student")
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
    _check_needs(spec, named)
    _check_channels(named)
    _check_padding(spec, named)
    _check_initial(spec, named)
    _check_equal_channels(spec, named)
    _check_taps(spec, named)
    return named


def check_architecture(name: str, pointer: str) -> None:
    """Raises Invalid `unknown_architecture` for a name that can be none of ours or a library's;
    `pointer`: of the network."""
    library, slash, rest = name.partition("/")
    if name in ARCHITECTURES or (slash and rest and library in ("torchvision", "timm")):
        return
    _refuse(fit.unknown_architecture(name, fit.closest(name, ARCHITECTURES)), pointer)


def network_of(model: Model) -> Network:
    """The network that a model's weights belong to."""
    return Network.model_validate(model.network)


def _refuse(fault: Fault | None, pointer: str = "") -> None:
    if fault is not None:
        raise Invalid(fault.message, code=fault.code, pointer=pointer + fault.pointer)


def _find(
    s: Session, table: type[Item], tenant: str, item_id: str, pointer: str, lock: bool
) -> Item:
    query = select(table).where(table.id == item_id, table.tenant == tenant)
    item = s.scalar(query.with_for_update(read=True) if lock else query)
    if item is None:
        kind = table.__name__.lower()
        raise Invalid(f"no {kind} {item_id}", code=UNKNOWN[table], pointer=pointer)
    if item.state == "rejected":
        why = (item.error or {}).get("message", "see its error")
        code = RequestCode.REJECTED
        raise Invalid(f"{item_id} was rejected: {why}", code=code, pointer=pointer)
    if item.state != "ready":
        raise NotReady(f"{item_id} is still being inspected", pointer=pointer)
    return item


def _objectives(spec: JobSpec) -> Iterator[tuple[str, Knobs]]:
    for i, stage in enumerate(spec.stages):
        for j, objective in enumerate(stage.objectives):
            yield f"/stages/{i}/objectives/{j}", objective


def _check_needs(spec: JobSpec, named: Named) -> None:
    classes = named.num_classes
    if classes is None:
        _refuse(fit.NO_CLASSES)
        return
    batch = min(spec.data.batch_size, spec.data.train_limit or named.dataset.train)
    teachers = [(model.name, network_of(model).num_classes) for model in named.teachers]
    for pointer, objective in _objectives(spec):
        unmet = fit.unmet_need(
            objective,
            labelled=named.dataset.labelled,
            num_classes=classes,
            batch_size=batch,
            teachers=teachers,
        )
        _refuse(unmet, pointer)


def _check_channels(named: Named) -> None:
    for i, teacher in enumerate(named.teachers):
        reads = network_of(teacher).input.channels
        fault = fit.unreadable_channels(named.dataset.channels, reads)
        _refuse(fault, f"/teachers/{i}/model")


def _check_padding(spec: JobSpec, named: Named) -> None:
    if spec.data.pad_to is not None:
        size = spec.data.image_size or (named.dataset.height, named.dataset.width)
        _refuse(fit.impossible_padding(size, spec.data.pad_to))


def _check_initial(spec: JobSpec, named: Named) -> None:
    if named.initial is None:
        return
    network, student = network_of(named.initial), spec.student
    has = (network.architecture, network.options, network.num_classes, network.input.channels)
    needs = (student.architecture, student.options, named.num_classes, named.dataset.channels)
    if has != needs:
        raise Invalid(
            "these weights do not fit the student: architecture, options, classes and input "
            f"channels are {has}, not {needs}",
            code=RunCode.WEIGHTS_MISMATCH,
            pointer="/student/initial_model",
        )


def _check_equal_channels(spec: JobSpec, named: Named) -> None:
    """Of default levels. What cannot be known here is checked as the run starts."""
    own = level_channels(spec.student.architecture, spec.student.options)
    for pointer, objective in _objectives(spec):
        if not isinstance(objective, MapKnobs) or objective.student_taps or objective.teacher_taps:
            continue
        for teacher in named.teachers:
            network = network_of(teacher)
            theirs = level_channels(network.architecture, network.options)
            if own and theirs:
                count = min(len(own), len(theirs), objective.levels)
                last = own[-count:], teacher.name, theirs[-count:]
                _refuse(fit.unequal_channels(objective, *last), pointer)


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
                _check_tap(tap, teacher, teacher.name, f"{pointer}/{knob}")
        for knob, tap in own.items():
            if named.initial is not None:
                _check_tap(tap, named.initial, "the student", f"{pointer}/{knob}")


def _check_tap(tap: Tap, model: Model, name: str, pointer: str) -> None:
    """A student made here has no list of modules; its taps are checked when the run starts."""
    if model.modules is not None:
        _refuse(fit.missing_module(name, tap.module, model.modules), pointer)

"""What a distillation method is: it reads taps and logits of two networks, and returns losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.features.taps import Outputs
from kdcore.runtime.errors import refuse
from kdcore.spec.fit import unmet_need
from kdcore.spec.knobs.base import Knobs, Tap
from kdcore.spec.recipe import Ensemble

K = TypeVar("K", bound=Knobs)
M = TypeVar("M", bound="type[Method[Knobs]]")


@dataclass(frozen=True)
class MethodContext:
    """Whom a method works between, and on what data.

    `weights`: of the teachers, above 0, in any scale. `training_N`: positions of the training
    samples in their split, whose class numbers, if there are any, are `labels_N`.
    """

    student: Probe
    teachers: tuple[Probe, ...] = ()
    weights: tuple[float, ...] = ()
    ensemble: Ensemble = "arithmetic"
    batch_size: int = 64
    training_N: Tensor | None = None
    labels_N: Tensor | None = None
    labelled: bool = True


class Method(nn.Module, Generic[K]):
    """One published way to transfer knowledge, built once per stage.

    The constructor checks what the knobs' class declares as needed (labels, classes, samples), a
    subclass's also that shapes fit; both raise RunError with a pointer relative to the objective. A
    method names the taps it reads and owns the parameters it trains. They are trained and
    checkpointed with the student and dropped at export. It owns no network, optimizer or device.
    """

    student_logits: ClassVar[bool] = True
    """Whether it reads the student's logits; if no objective of a stage does, passes end early."""
    teacher_logits: ClassVar[bool] = True
    unweighted: ClassVar[frozenset[str]] = frozenset()
    """Terms that its weight does not scale: the method's own parameters alone learn from them."""
    teacher_batch_norm: ClassVar[Literal["eval", "train"] | None] = None
    """The mode it demands of the teachers' batch norms; None: as the spec says."""

    has_persistent_state: bool = False
    """Whether a method of a later stage may take over what it has learnt: it is kept till then."""

    compares_samples: bool = False
    """Whether its loss is more than a mean over samples: it is then given the whole batch, where
    several processes share one."""

    def __init__(self, knobs: K, context: MethodContext) -> None:
        super().__init__()
        unmet = unmet_need(
            knobs,
            labelled=context.labelled,
            num_classes=context.student.num_classes,
            batch_size=context.batch_size,
            teachers=[(teacher.name, teacher.num_classes) for teacher in context.teachers],
        )
        refuse(unmet)
        self.knobs = knobs
        self.student_taps: tuple[Tap, ...] = ()
        self.teacher_taps: tuple[tuple[Tap, ...], ...] = tuple(() for _ in context.teachers)

    def load_from_previous(self, earlier: "Sequence[Method[Knobs]]") -> None:
        """Take over what methods of earlier stages have learnt; most have nothing to take."""

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """Unweighted float32 scalars by name, to be summed; the gradient goes to the student."""
        raise NotImplementedError


METHODS: dict[type[Knobs], type[Method[Knobs]]] = {}


def implements(knobs: type[Knobs]) -> Callable[[type[Method[K]]], type[Method[K]]]:
    """Class decorator: this method is what `knobs` configure."""

    def register(method: type[Method[K]]) -> type[Method[K]]:
        assert knobs not in METHODS, f"{knobs.__name__} is implemented twice"
        METHODS[knobs] = method  # type: ignore[assignment]
        return method

    return register


def logits_of(teachers: Sequence[Outputs]) -> list[Tensor]:
    """Every teacher's logits_BK."""
    return [t.logits_BK for t in teachers if t.logits_BK is not None]

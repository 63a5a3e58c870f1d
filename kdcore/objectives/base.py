"""Defines distillation methods: they read taps and logits of two networks and return losses."""

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
    """What a method is built from: the student, the teachers and the training samples.

    `weights`: of the teachers, above 0, in any scale. `training_N`: positions of the samples that
    are trained on in the training split. `labels_N`: class numbers of the whole split, if it has
    labels.
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

    The constructor checks what the knobs declare as needed (labels, classes, samples), and that of
    a subclass also that shapes fit; both raise RunError with a pointer relative to the objective. A
    method names the taps it reads, and creates the parameters it trains, which are trained and
    checkpointed with the student's and dropped at export. It owns no network, optimizer or device.
    """

    student_logits: ClassVar[bool] = True
    """Whether it reads the student's logits; if no method of a stage does, passes end early."""
    teacher_logits: ClassVar[bool] = True
    unweighted: ClassVar[frozenset[str]] = frozenset()
    """Terms that the objective's weight does not scale: they train only the method's parameters."""
    teacher_batch_norm: ClassVar[Literal["eval", "train"] | None] = None
    """The mode it needs for the teachers' batch norms; None: as the spec says."""

    has_persistent_state: bool = False
    """Whether methods of later stages may load what it has learnt, so that checkpoints keep it."""

    compares_samples: bool = False
    """Whether its loss is more than a mean over samples; it then gets the global batch if several
    processes share one."""

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

    def load_from_previous(self, previous: "Sequence[Method[Knobs]]") -> None:
        """Load what methods of earlier stages have learnt; by default nothing."""

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """Compute unweighted float32 scalars by name, whose weighted sum is minimised."""
        raise NotImplementedError


METHODS: dict[type[Knobs], type[Method[Knobs]]] = {}


def implements(knobs: type[Knobs]) -> Callable[[type[Method[K]]], type[Method[K]]]:
    """Class decorator: register a method as the one that `knobs` configures."""

    def register(method: type[Method[K]]) -> type[Method[K]]:
        assert knobs not in METHODS, f"{knobs.__name__} is implemented twice"
        METHODS[knobs] = method  # type: ignore[assignment]
        return method

    return register


def logits_of(teachers: Sequence[Outputs]) -> list[Tensor]:
    """Every teacher's logits_BK."""
    return [t.logits_BK for t in teachers if t.logits_BK is not None]

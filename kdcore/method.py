"""What a distillation method is: it reads taps and logits of two networks, and returns losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.probe import Probe
from kdcore.spec.methods import Knobs, Tap
from kdcore.spec.parts import Ensemble
from kdcore.taps import Outputs

K = TypeVar("K", bound=Knobs)
M = TypeVar("M", bound="type[Method[Knobs]]")


@dataclass(frozen=True)
class Setting:
    """Whom a method works between. `weights`: of the teachers, above 0, in any scale."""

    student: Probe
    teachers: tuple[Probe, ...] = ()
    weights: tuple[float, ...] = ()
    ensemble: Ensemble = "arithmetic"
    labelled: bool = True


class Method(nn.Module, Generic[K]):
    """One published way to transfer knowledge, built once per stage.

    A subclass checks in its constructor that everything fits (shapes, classes, labels) and raises
    RunError with a pointer relative to its objective; it names the taps it reads and owns the
    parameters it trains. They are trained and checkpointed with the student and dropped at export.
    It owns no network, optimizer or device.
    """

    student_logits: ClassVar[bool] = True
    """Whether it reads the student's logits; if no objective of a stage does, passes end early."""
    teacher_logits: ClassVar[bool] = True
    teacher_batch_norm: ClassVar[Literal["eval", "train"] | None] = None
    """The mode it demands of the teachers' batch norms; None: as the spec says."""

    def __init__(self, knobs: K, setting: Setting) -> None:
        super().__init__()
        self.knobs = knobs
        self.student_taps: tuple[Tap, ...] = ()
        self.teacher_taps: tuple[tuple[Tap, ...], ...] = tuple(() for _ in setting.teachers)

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

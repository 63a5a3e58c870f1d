"""One stage of training: joins student, teachers and methods, and makes optimizer steps."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdcore.data.batches import Batch
from kdcore.data.micro_batches import split_batch
from kdcore.features.taps import Outputs, Tapped
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import GatherFn, Loss, Objectives, mean_of
from kdcore.runtime.device import Device
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.named_tensors import under, within
from kdcore.spec.recipe import Stage
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.data_parallel import DataParallel, SyncBatchNorms
from kdcore.training.ema import Average
from kdcore.training.optim import (
    FiniteGuard,
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)
from kdcore.training.teachers import Teacher, TeacherForward


@dataclass(frozen=True)
class StageSetup:
    """What all stages of a run share: what surrounds the student, and how a step is made.

    `adapter`: turns a batch's images into the student's input. `accumulate`: batches that share one
    optimizer step. `output_cache`: None if teacher outputs are not kept.
    """

    context: MethodContext
    teachers: tuple[Teacher, ...]
    adapter: nn.Module
    device: Device
    accumulate: int = 1
    output_cache: TeacherOutputCache | None = None
    world: World = ALONE


class StageRun:
    """Trains the student through one stage; a context manager that removes its hooks on exit.

    A step learns from `accumulate` batches of equal size, passed as one; with several processes,
    from this process's slice of each, and from the others' gradients. The state it saves is the
    methods', the optimizer's, the gradient scaler's and the average's, but not the student's.
    """

    def __init__(
        self,
        setup: StageSetup,
        stage: Stage,
        student: nn.Module,
        steps_per_epoch: int,
        pointer: str = "",
        previous: Sequence[Objectives] = (),
    ) -> None:
        """`pointer`: where the stage is in the spec. `previous`: objectives of earlier stages."""
        self.stage = stage
        self.steps = stage.epochs * steps_per_epoch
        self.guard = FiniteGuard(setup.device.torch)
        self._setup = setup
        self._steps_per_epoch = steps_per_epoch
        self._student = student
        self.objectives = Objectives(stage, setup.context, pointer).to(setup.device.torch)
        self.objectives.load_from_previous(previous)
        self._parallel = DataParallel(setup.world) if setup.world.size > 1 else None
        if self._parallel is not None:
            self._parallel.broadcast(student)
            self._parallel.broadcast(self.objectives)
        self.reads_logits = self.objectives.student_logits
        self._tapped = Tapped(
            student, self.objectives.student_taps, logits=self.reads_logits, name="the student"
        )
        self._teacher_forward = TeacherForward(
            setup.teachers,
            self.objectives,
            setup.output_cache,
            setup.context.teachers,
            setup.device.cast,
        )
        named = {"student": student, "method": self.objectives}
        self._parameters = {
            f"{owner}.{name}": parameter
            for owner, module in named.items()
            for name, parameter in module.named_parameters()
        }
        self._optimizer = make_optimizer(stage.optimizer, self._parameters)
        self._scaler = torch.amp.GradScaler("cuda", enabled=setup.device.precision == "fp16")
        self._average = None if stage.ema is None else Average(student, stage.ema.decay)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tapped.close()
        self._teacher_forward.close()

    def train_mode(self) -> None:
        """Put student and methods into training mode."""
        self._student.train()
        self.objectives.train()

    def rate(self, step: int) -> float:
        """The learning rate of the stage's step `step`, counted from 0."""
        start = self.stage.optimizer.learning_rate
        return learning_rate(self.stage.schedule, start, step, self.steps, self._steps_per_epoch)

    def step(self, batch: Batch, step: int) -> Loss:
        """Make one optimizer step from its `accumulate` batches and return their mean loss.

        If the loss is not finite, neither this step nor any later one changes the weights.
        """
        self._optimizer.learning_rate = self.rate(step)
        self._optimizer.zero_grad()
        progress = step / max(1, self.steps - 1)
        batches = split_batch(batch, self._setup.accumulate)
        loss = mean_of([self._accumulate(one, progress) for one in batches])
        if self._parallel is not None:
            loss = self._parallel.mean_loss(loss)
            self._parallel.average_gradients(self._parameters.values())
        masked = self.guard.mask(loss.total, step)
        if self._scaler.is_enabled():
            self._scaler.step(cast(Optimizer, self._optimizer))  # masks by itself
            self._scaler.update()
        else:
            self._optimizer.found_inf = masked
            self._optimizer.step()
        if self._average is not None:
            self._average.update(step, masked)
        return loss

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the student holds what is validated and kept: its average, if it has one."""
        return nullcontext() if self._average is None else self._average.applied()

    def finish(self) -> None:
        """At the end of the stage, give the student its average for good."""
        if self._average is not None:
            self._average.apply()

    def validation_loss(self, batches: Iterable[Batch]) -> float:
        """Mean loss in evaluation mode, with the objectives' weights at the end of the stage."""
        self._student.eval()
        self.objectives.eval()
        total, count = torch.zeros((), dtype=torch.float64), 0
        with torch.no_grad():
            for batch in batches:
                loss = self._loss(batch, 1.0).total.double()
                total = total.to(loss.device) + loss * len(batch.index_B)
                count += len(batch.index_B)
        return float(total.item()) / count

    def tensors(self) -> dict[str, Tensor]:
        """State of methods, optimizer and average, for a checkpoint."""
        average = {} if self._average is None else self._average.tensors()
        return {
            **under("method", self.objectives.state_dict()),
            **under("optimizer", optimizer_tensors(self._optimizer, self._parameters)),
            **under("average", average),
        }

    def facts(self) -> dict[str, Any]:
        """State that is not a tensor: the gradient scaler's."""
        return dict(self._scaler.state_dict())

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore what `tensors` and `facts` returned."""
        self.objectives.load_state_dict(within("method", tensors))
        restore_optimizer(self._optimizer, self._parameters, within("optimizer", tensors))
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(dict(facts))
        if self._average is not None:
            self._average.load(within("average", tensors))

    def _accumulate(self, batch: Batch, progress: float) -> Loss:
        """Add one batch's share to the gradients."""
        if self._parallel is None:
            loss = self._loss(batch, progress)
        else:
            with SyncBatchNorms():
                own = self._parallel.slice(batch)
                loss = self._loss(own, progress, self._parallel.gather_fn(batch))
        count = self._setup.accumulate
        share = loss.total if count == 1 else loss.total / count
        self._scaler.scale(share).backward()  # type: ignore[no-untyped-call]
        return Loss(loss.total.detach(), loss.terms)

    def _loss(self, batch: Batch, progress: float, gather: GatherFn | None = None) -> Loss:
        with self._setup.device.autocast():
            teachers = self._teacher_forward(batch)
            student = Outputs(None)
            if self.objectives.student_read:
                student = self._tapped(self._setup.adapter(batch.images_BCHW))
            loss: Loss = self.objectives(student, teachers, batch, progress, gather)
        return loss

"""One stage at work: student, teachers and methods brought together; makes one optimizer step."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.data.micro_batches import split
from kdcore.features.taps import Outputs, Tapped
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import GatherFn, Loss, Objectives, mean_of
from kdcore.runtime.device import Device
from kdcore.spec.recipe import Stage
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.data_parallel import DataParallel, SharedNorms
from kdcore.training.ema import Average
from kdcore.training.optim import (
    FiniteGuard,
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)
from kdcore.training.teachers import Teacher, TeacherForward


class StageRun:
    """A stage of `steps_per_epoch` steps an epoch; a context manager that takes its hooks away.

    A step learns from `accumulate` batches of equal size, which are given as one; with `sharing`,
    from this process's share in each of them, and from the others' gradients.
    Its state is the methods', the optimizer's, the scaler's and the average's; the student's is
    the student's.
    """

    def __init__(
        self,
        stage: Stage,
        student: nn.Module,
        adapter: nn.Module,
        teachers: Sequence[Teacher],
        context: MethodContext,
        device: Device,
        steps_per_epoch: int,
        pointer: str = "",
        earlier: Sequence[Objectives] = (),
        output_cache: TeacherOutputCache | None = None,
        accumulate: int = 1,
        sharing: DataParallel | None = None,
    ) -> None:
        self.stage = stage
        self.steps = stage.epochs * steps_per_epoch
        self.guard = FiniteGuard(device.torch)
        self._steps_per_epoch = steps_per_epoch
        self._accumulate = accumulate
        self._sharing = sharing
        self._device = device
        self._adapter = adapter
        self._student = student
        self.objectives = Objectives(stage, context, pointer).to(device.torch)
        self.objectives.load_from_previous(earlier)
        if sharing is not None:
            sharing.same(student)
            sharing.same(self.objectives)
        self.reads_logits = self.objectives.student_logits
        self._tapped = Tapped(
            student, self.objectives.student_taps, logits=self.reads_logits, name="the student"
        )
        self._teacher_forward = TeacherForward(
            teachers, self.objectives, output_cache, context.teachers, device.cast
        )
        named = {"student": student, "method": self.objectives}
        self._parameters = {
            f"{owner}.{name}": parameter
            for owner, module in named.items()
            for name, parameter in module.named_parameters()
        }
        self._optimizer = make_optimizer(stage.optimizer, self._parameters)
        self._scaler = torch.amp.GradScaler("cuda", enabled=device.precision == "fp16")
        self._average = None if stage.ema is None else Average(student, stage.ema.decay)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tapped.close()
        self._teacher_forward.close()

    def train_mode(self) -> None:
        """Student and methods in training mode."""
        self._student.train()
        self.objectives.train()

    def rate(self, step: int) -> float:
        """The learning rate of the stage's step `step`, from 0."""
        start = self.stage.optimizer.learning_rate
        return learning_rate(self.stage.schedule, start, step, self.steps, self._steps_per_epoch)

    def step(self, batch: Batch, step: int) -> Loss:
        """Learn from the batches of one step, given as one; its loss is their mean. A loss that is
        not finite makes no step, nor any after it."""
        set_learning_rate(self._optimizer, self.rate(step))
        self._optimizer.zero_grad(set_to_none=True)
        progress = step / max(1, self.steps - 1)
        loss = mean_of([self._learn(part, progress) for part in split(batch, self._accumulate)])
        if self._sharing is not None:
            loss = self._sharing.mean_loss(loss)
            self._sharing.mean_gradients(self._parameters.values())
        masked = self.guard.admit(loss.total, step)
        if self._scaler.is_enabled():
            self._scaler.step(self._optimizer)  # masks by itself
            self._scaler.update()
        else:
            setattr(self._optimizer, "found_inf", masked)  # noqa: B010 -- fused steps read it
            self._optimizer.step()
        if self._average is not None:
            self._average.take(step, masked)
        return loss

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the student holds what is judged and kept of it: its average, if asked for."""
        return nullcontext() if self._average is None else self._average.shown()

    def settle(self) -> None:
        """At the stage's end: give the student what is kept of it."""
        if self._average is not None:
            self._average.settle()

    def validation_loss(self, batches: Iterable[Batch]) -> float:
        """Mean loss in evaluation mode, with the weights of the stage's end."""
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
        methods = {f"method/{k}": v for k, v in self.objectives.state_dict().items()}
        optimizer = optimizer_tensors(self._optimizer, self._parameters)
        average = {} if self._average is None else self._average.tensors()
        return {
            **methods,
            **{f"optimizer/{k}": v for k, v in optimizer.items()},
            **{f"average/{k}": v for k, v in average.items()},
        }

    def facts(self) -> dict[str, Any]:
        """State that is no tensor: the gradient scaler's."""
        return dict(self._scaler.state_dict())

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Put back what `tensors` and `facts` gave."""
        self.objectives.load_state_dict(within(tensors, "method/"))
        restore_optimizer(self._optimizer, self._parameters, within(tensors, "optimizer/"))
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(dict(facts))
        if self._average is not None:
            self._average.load(within(tensors, "average/"))

    def _learn(self, batch: Batch, progress: float) -> Loss:
        """Add a batch's share to the gradients."""
        if self._sharing is None:
            loss = self._loss(batch, progress)
        else:
            with SharedNorms():
                own = self._sharing.slice(batch)
                loss = self._loss(own, progress, self._sharing.widen(batch))
        share = loss.total if self._accumulate == 1 else loss.total / self._accumulate
        self._scaler.scale(share).backward()  # type: ignore[no-untyped-call]
        return Loss(loss.total.detach(), loss.terms)

    def _loss(self, batch: Batch, progress: float, widen: GatherFn | None = None) -> Loss:
        with self._device.autocast():
            teacher_forward = self._teacher_forward(batch)
            student = Outputs(None)
            if self.objectives.student_read:
                student = self._tapped(self._adapter(batch.images_BCHW))
            loss: Loss = self.objectives(student, teacher_forward, batch, progress, widen)
        return loss


def within(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries under a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

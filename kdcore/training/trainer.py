"""Trains the arms of a run: stages, epochs, steps, validation, checkpoints and the way back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from kdcore.data.batches import Loader
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import Objectives
from kdcore.runtime.device import Device
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.seeds import derive_seed, seed_everything
from kdcore.runtime.signals import Interrupted, Stop
from kdcore.spec.codes import RunCode
from kdcore.spec.failpoints import failpoint
from kdcore.spec.names import ArmName, Metric, Phase
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.arms import Arm
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.data_parallel import DataParallel
from kdcore.training.evaluate import EvalSet, score, scorer_of
from kdcore.training.meter import Meter, Pace
from kdcore.training.stage import StageRun
from kdcore.training.state import (
    Best,
    Outcome,
    TrainingPosition,
    TrainingState,
    restore_previous_methods,
    restore_stage,
    weights_of,
)
from kdcore.training.teachers import Teacher

METRICS_EVERY = 25  # steps; each report waits for the device once
PHASES: dict[ArmName, Phase] = {"student": Phase.TRAINING, "baseline": Phase.BASELINE}


@dataclass(frozen=True)
class TrainingSetup:
    """What a run trains, and with what. `student(arm)` builds a arm's network with the same weights
    every time. The loader's batch is what one optimizer step learns from, in `accumulate` parts."""

    arms: tuple[Arm, ...]
    student: Callable[[ArmName], nn.Module]
    adapter: nn.Module
    teachers: tuple[Teacher, ...]
    context: MethodContext
    loader: Loader
    eval_set: EvalSet | None
    device: Device
    seed: int
    output_cache: TeacherOutputCache | None = None
    accumulate: int = 1
    world: World = ALONE


class Trainer:
    """Trains every arm of a course, from the start or from a checkpoint's snapshot. Of several
    processes, the one with `checkpoints` writes them."""

    def __init__(
        self,
        setup: TrainingSetup,
        state: TrainingState,
        events: EventLog,
        checkpoints: Checkpoints | None,
        checkpoint_every_s: float,
        stop: Stop,
    ) -> None:
        self._course = setup
        self._state = state
        self._events = events
        self._checkpoints = checkpoints
        self._every_s = checkpoint_every_s
        self._stop = stop
        self._saved_s = time.monotonic()
        self._waiting: Snapshot | None = None
        self._taught: list[Objectives] = []
        steps = sum(arm.epochs for arm in setup.arms) * setup.loader.steps_per_epoch
        self._pace = Pace(steps, setup.loader.batch_size)

    def resume(self, snapshot: Snapshot) -> None:
        """Start from a checkpoint's state instead of the beginning."""
        self._state.restore(snapshot)
        for phase, spent_s in self._state.history.seconds.items():
            self._events.seconds[phase] = self._events.seconds.get(phase, 0.0) + spent_s
        if self._state.position.arm not in self._state.finished:
            self._waiting = snapshot

    def run(self) -> dict[ArmName, Outcome]:
        """Train what is left. Raises Interrupted after a checkpoint, RunError `diverged`."""
        for arm in self._course.arms:
            if arm.name not in self._state.finished:
                self._events.phase(PHASES[arm.name])
                with self._stop.deferred():
                    self._run_arm(arm)
        return self._state.finished

    def _run_arm(self, arm: Arm) -> None:
        state, student = self._state, self._course.student(arm.name)
        self._taught = []
        if self._waiting is None:
            state.position, state.best = TrainingPosition(arm.name), None
        while True:
            self._run_stage(arm, student)
            following = state.position.stage + 1
            if following == len(arm.stages):
                break
            if arm.stages[following].start_from == "best" and state.best is not None:
                student.load_state_dict(state.best.weights)
            state.position, state.best = TrainingPosition(arm.name, following), None
        self._progress(arm)
        state.finished[arm.name] = Outcome(weights_of(student), state.best)
        state.best = None
        self._save(arm, None, None)

    def _run_stage(self, arm: Arm, student: nn.Module) -> None:
        setup, index = self._course, self._state.position.stage
        # After a resume, earlier stages' methods stand in: what this stage took over from them is
        # in its own state, and what a later one may take over comes from the checkpoint.
        for missed in range(len(self._taught), index):
            stand_in = Objectives(arm.stages[missed], setup.context, "")
            assert self._waiting is not None, "only a resume begins past the first stage"
            restore_previous_methods(self._waiting, missed, stand_in)
            self._taught.append(stand_in)
        seed_everything(derive_seed(setup.seed, "stage", index))
        with StageRun(
            arm.stages[index],
            student,
            setup.adapter,
            setup.teachers,
            setup.context,
            setup.device,
            setup.loader.steps_per_epoch,
            f"/stages/{index}",
            self._taught,
            setup.output_cache if arm.name == "student" else None,
            setup.accumulate,
            DataParallel(setup.world) if setup.world.size > 1 else None,
        ) as run:
            if self._waiting is not None:
                restore_stage(self._waiting, student, run)
                self._waiting = None
            while self._state.position.epoch < run.stage.epochs:
                self._run_epoch(arm, student, run)
            run.settle()
            self._taught.append(run.objectives)

    def _run_epoch(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        position, loader = self._state.position, self._course.loader
        run.train_mode()
        meter = self._state.meter = self._state.meter if position.step else Meter()
        first = position.epoch * loader.steps_per_epoch
        for batch in loader.batches(position.stage, position.epoch, position.step):
            meter.add(run.step(batch, first + position.step))
            position.step += 1
            failpoint("step.made")
            if self._arm_step(arm) % METRICS_EVERY == 0 or position.step == loader.steps_per_epoch:
                self._report(arm, run, meter)
            self._after_step(arm, student, run)
        self._validate(arm, student, run)
        self._state.position = replace(position, epoch=position.epoch + 1, step=0)
        stage_ends = self._state.position.epoch == run.stage.epochs
        leg_ends = stage_ends and position.stage + 1 == len(arm.stages)
        if (stage_ends or self._due()) and not leg_ends:
            self._save(arm, student, run)

    def _after_step(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        if self._events.progress_due():
            self._progress(arm)
        asked = self._course.world.agree(self._stop.asked)
        if asked or self._due():
            self._save(arm, student, run)
        if asked:
            raise Interrupted

    def _validate(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        """Score the epoch and keep its weights if they are the stage's best so far.

        By accuracy; by agreement with the teachers where there are no labels; by the loss where
        the stage does not read the logits.
        """
        eval_set = self._course.eval_set
        if eval_set is None:
            return
        try:
            with run.averaged(), self._stop.at_once():
                name, value = self._judge(arm, student, run, eval_set)
        except Interrupted:
            self._save(arm, student, run)
            raise
        self._events.metrics(self._arm_step(arm), {f"{arm.name}/{name}": value})
        quality = -value if name == Metric.VALIDATION_LOSS else value
        best = self._state.best
        if best is None or quality > best.score:
            position = self._state.position
            epoch = arm.epochs_before(position.stage) + position.epoch + 1
            with run.averaged():
                self._state.best = Best(weights_of(student), quality, epoch)

    def _judge(
        self, arm: Arm, student: nn.Module, run: StageRun, eval_set: EvalSet
    ) -> tuple[Metric, float]:
        if not run.reads_logits:
            return Metric.VALIDATION_LOSS, run.validation_loss(eval_set.batches())
        result, _ = score(scorer_of(student, self._course.adapter), eval_set, f"the {arm.name}")
        if result.accuracy is not None:
            return Metric.ACCURACY, result.accuracy
        assert result.agreement is not None, "without labels and teachers nothing can be learnt"
        return Metric.AGREEMENT, result.agreement

    def _report(self, arm: Arm, run: StageRun, meter: Meter) -> None:
        self._check_finite(arm, run)
        values = meter.take()
        values[Metric.LEARNING_RATE] = run.rate(self._stage_step() - 1)
        named = {f"{arm.name}/{name}": value for name, value in values.items()}
        self._events.metrics(self._arm_step(arm), named)

    def _progress(self, arm: Arm) -> None:
        position = self._state.position
        step, spe = self._arm_step(arm), self._course.loader.steps_per_epoch
        earlier = sum(self._arm_steps(x) for x in self._course.arms if x.name in self._finished())
        fraction, images_per_s, eta_s = self._pace.at(earlier + step)
        self._events.progress(
            arm=arm.name,
            stage=(position.stage, len(arm.stages)),
            epoch=(step // spe, arm.epochs),
            step=(step, self._arm_steps(arm)),
            fraction=fraction,
            images_per_s=images_per_s,
            eta_s=eta_s,
        )

    def _due(self) -> bool:
        return time.monotonic() - self._saved_s >= self._every_s

    def _save(self, arm: Arm, student: nn.Module | None, run: StageRun | None) -> None:
        if run is not None:
            self._check_finite(arm, run)
        if self._checkpoints is None:
            self._saved_s = time.monotonic()
            return
        if self._course.output_cache is not None:
            self._course.output_cache.flush()
        self._events.mark()
        self._state.history.seconds = self._events.seconds
        path = self._checkpoints.save(self._state.snapshot(student, run, self._taught))
        self._events.checkpoint(arm.name, self._arm_step(arm), f"{path.parent.name}/{path.name}")
        self._saved_s = time.monotonic()

    def _check_finite(self, arm: Arm, run: StageRun) -> None:
        """Raise RunError `diverged` once a loss was not finite; no step was made with it."""
        bad = run.guard.first_bad()
        if bad is None:
            return
        epoch, step = divmod(bad, self._course.loader.steps_per_epoch)
        stage = self._state.position.stage
        raise RunError(
            RunCode.DIVERGED,
            f"the loss of the {arm.name} is not finite in stage {stage + 1}, epoch {epoch + 1}, "
            f"step {step + 1} (each from 1); a lower learning rate or a warm-up may help",
            pointer=f"/stages/{stage}" if arm.name == "student" else None,
        )

    def _finished(self) -> set[ArmName]:
        return set(self._state.finished)

    def _stage_step(self) -> int:
        position = self._state.position
        return position.epoch * self._course.loader.steps_per_epoch + position.step

    def _arm_step(self, arm: Arm) -> int:
        """Optimizer steps done in this arm."""
        before = arm.epochs_before(self._state.position.stage)
        return before * self._course.loader.steps_per_epoch + self._stage_step()

    def _arm_steps(self, arm: Arm) -> int:
        return arm.epochs * self._course.loader.steps_per_epoch

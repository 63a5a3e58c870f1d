"""Trains the arms of a run: stages, epochs, steps, validation, checkpoints and resuming."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from kdcore.data.batches import Loader
from kdcore.objectives.objectives import Objectives
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.seeds import derive_seed, seed_everything
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.codes import RunCode
from kdcore.spec.failpoints import failpoint
from kdcore.spec.names import ArmName, Metric, Phase
from kdcore.training.arms import Arm
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.evaluate import EvalSet, score, scorer_of
from kdcore.training.meter import Meter, Pace
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.state import (
    Best,
    Outcome,
    TrainingPosition,
    TrainingState,
    restore_previous_methods,
    restore_stage,
    weights_of,
)

METRICS_EVERY = 25  # steps; each report waits for the device once
PHASES: dict[ArmName, Phase] = {"student": Phase.TRAINING, "baseline": Phase.BASELINE}


@dataclass(frozen=True)
class TrainingSetup:
    """What a run trains, and on what data.

    `build_student`: makes an arm's network, with the same weights every time. `loader`: one batch
    is what one optimizer step learns from. `validation_set`: None if nothing is held out.
    """

    arms: tuple[Arm, ...]
    build_student: Callable[[ArmName], nn.Module]
    shared: StageSetup
    loader: Loader
    validation_set: EvalSet | None
    seed: int


class Trainer:
    """Trains every arm of a run, from the start or from a checkpoint's snapshot.

    `checkpoints`: None in the processes that do not write them.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        state: TrainingState,
        events: EventLog,
        checkpoints: Checkpoints | None,
        stop: StopFlag,
    ) -> None:
        self._setup = setup
        self._state = state
        self._events = events
        self._checkpoints = checkpoints
        self._stop = stop
        self._to_restore: Snapshot | None = None
        self._previous: list[Objectives] = []  # of the arm's earlier stages
        steps = sum(arm.epochs for arm in setup.arms) * setup.loader.steps_per_epoch
        self._pace = Pace(steps, setup.loader.batch_size)

    def resume(self, snapshot: Snapshot) -> None:
        """Start from a checkpoint's state instead of the beginning."""
        self._state.restore(snapshot)
        for phase, spent_s in self._state.history.seconds.items():
            self._events.seconds[phase] = self._events.seconds.get(phase, 0.0) + spent_s
        if self._state.position.arm not in self._state.finished:
            self._to_restore = snapshot

    def run(self) -> dict[ArmName, Outcome]:
        """Train what is left.

        Raises Interrupted after a requested stop has been checkpointed, and RunError `diverged`.
        """
        for arm in self._setup.arms:
            if arm.name not in self._state.finished:
                self._events.phase(PHASES[arm.name])
                with self._stop.deferred():
                    self._run_arm(arm)
        return self._state.finished

    def _run_arm(self, arm: Arm) -> None:
        state, student = self._state, self._setup.build_student(arm.name)
        self._previous = []
        if self._to_restore is None:
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
        setup, index = self._setup, self._state.position.stage
        # After a resume, rebuild the objectives of the stages that were skipped: a later stage may
        # still load what their methods learnt, which the checkpoint holds.
        for skipped in range(len(self._previous), index):
            objectives = Objectives(arm.stages[skipped], setup.shared.context, "")
            assert self._to_restore is not None, "only a resume begins past the first stage"
            restore_previous_methods(self._to_restore, skipped, objectives)
            self._previous.append(objectives)
        seed_everything(derive_seed(setup.seed, "stage", index))
        with StageRun(
            setup.shared,
            arm.stages[index],
            student,
            setup.loader.steps_per_epoch,
            f"/stages/{index}",
            self._previous,
        ) as run:
            if self._to_restore is not None:
                restore_stage(self._to_restore, student, run)
                self._to_restore = None
            while self._state.position.epoch < run.stage.epochs:
                self._run_epoch(arm, student, run)
            run.finish()
            self._previous.append(run.objectives)

    def _run_epoch(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        position, loader = self._state.position, self._setup.loader
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
        arm_ends = stage_ends and position.stage + 1 == len(arm.stages)
        if (stage_ends or self._due()) and not arm_ends:
            self._save(arm, student, run)

    def _after_step(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        if self._events.progress_due():
            self._progress(arm)
        stopping = self._setup.shared.world.any(self._stop.requested)
        if stopping or self._due():
            self._save(arm, student, run)
        if stopping:
            raise Interrupted

    def _validate(self, arm: Arm, student: nn.Module, run: StageRun) -> None:
        """Score the epoch, and keep its weights if they are the stage's best so far."""
        if self._setup.validation_set is None:
            return
        try:
            with run.averaged(), self._stop.immediate():
                name, value = self._validation_metric(arm, student, run, self._setup.validation_set)
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

    def _validation_metric(
        self, arm: Arm, student: nn.Module, run: StageRun, eval_set: EvalSet
    ) -> tuple[Metric, float]:
        """The accuracy; without labels the agreement with the teachers; the loss if the stage does
        not read the logits."""
        if not run.reads_logits:
            return Metric.VALIDATION_LOSS, run.validation_loss(eval_set.batches())
        scorer = scorer_of(student, self._setup.shared.adapter)
        result, _ = score(scorer, eval_set, f"the {arm.name}")
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
        position, finished = self._state.position, self._state.finished
        step, steps_per_epoch = self._arm_step(arm), self._setup.loader.steps_per_epoch
        earlier = sum(self._arm_steps(a) for a in self._setup.arms if a.name in finished)
        fraction, images_per_s, eta_s = self._pace.at(earlier + step)
        self._events.progress(
            arm=arm.name,
            stage=(position.stage, len(arm.stages)),
            epoch=(step // steps_per_epoch, arm.epochs),
            step=(step, self._arm_steps(arm)),
            fraction=fraction,
            images_per_s=images_per_s,
            eta_s=eta_s,
        )

    def _due(self) -> bool:
        return self._checkpoints is not None and self._checkpoints.due()

    def _save(self, arm: Arm, student: nn.Module | None, run: StageRun | None) -> None:
        if run is not None:
            self._check_finite(arm, run)
        if self._checkpoints is None:
            return
        if self._setup.shared.output_cache is not None:
            self._setup.shared.output_cache.flush()
        self._events.mark()
        self._state.history.seconds = self._events.seconds
        path = self._checkpoints.save(self._state.snapshot(student, run, self._previous))
        self._events.checkpoint(arm.name, self._arm_step(arm), f"{path.parent.name}/{path.name}")

    def _check_finite(self, arm: Arm, run: StageRun) -> None:
        """Raise RunError `diverged` if a loss was not finite; no weights changed since then."""
        bad = run.guard.first_bad()
        if bad is None:
            return
        epoch, step = divmod(bad, self._setup.loader.steps_per_epoch)
        stage = self._state.position.stage
        raise RunError(
            RunCode.DIVERGED,
            f"the loss of the {arm.name} is not finite in stage {stage + 1}, epoch {epoch + 1}, "
            f"step {step + 1} (each counted from 1)",
            pointer=f"/stages/{stage}" if arm.name == "student" else None,
        )

    def _stage_step(self) -> int:
        position = self._state.position
        return position.epoch * self._setup.loader.steps_per_epoch + position.step

    def _arm_step(self, arm: Arm) -> int:
        """Optimizer steps made in this arm."""
        before = arm.epochs_before(self._state.position.stage)
        return before * self._setup.loader.steps_per_epoch + self._stage_step()

    def _arm_steps(self, arm: Arm) -> int:
        return arm.epochs * self._setup.loader.steps_per_epoch

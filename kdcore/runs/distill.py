"""Runs a distillation from spec to result: prepare, train or resume, evaluate, export, report."""

from collections.abc import Sequence
from pathlib import Path

from pydantic.main import IncEx

from kdcore.runs.prepare import PreparedRun, prepare
from kdcore.runs.report import NOT_SCORED, export_all, make_result, report_student
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.hashing import json_sha256
from kdcore.runtime.signals import StopFlag
from kdcore.spec.names import TEACHER_ACCURACY, Phase
from kdcore.spec.result import DistillResult
from kdcore.spec.run import CHECKPOINT_DIR, OUT_DIR, DistillRun
from kdcore.spec.spec_codes import SpecCode
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.data_parallel import share_snapshot
from kdcore.training.evaluate import EvalSet, TeacherScores, cached_teacher_scores, score_teachers
from kdcore.training.state import History, TrainingState
from kdcore.training.trainer import Trainer

# Fields that may differ between attempts of one run, or have no effect on what is trained.
NOT_IDENTITY: dict[str, IncEx | bool] = {
    "device": True,
    "threads": True,
    "precision": True,
    "limits": True,
    "checkpoint_every_s": True,
    "export": True,
    "teacher_cache": {"enabled", "max_bytes"},
    "dataset": {"path", "sha256", "packs"},
    "student": {"initial_weights"},
    "teachers": {"__all__": {"weights", "sha256", "name"}},
}


def distill(
    spec: DistillRun,
    folder: Path,
    events: EventLog,
    stop: StopFlag,
    world: World = ALONE,
) -> DistillResult | None:
    """Run a distillation in `folder`, resuming from its newest valid checkpoint if it has one.

    All processes of a world train; only the primary measures and writes, the others return None.
    Raises RunError, and Interrupted after a requested stop has been checkpointed.
    """
    prepared = prepare(spec, folder, lambda line: events.log("info", line), world)
    setup, output_cache = prepared.setup, prepared.setup.shared.output_cache
    _warn(events, prepared.warnings)
    if world.size > 1:
        events.log(
            "info", f"{world.size} processes share every batch; teacher outputs are not cached"
        )
    machine = setup.shared.device.profile()
    history = History(machine=machine, identity=identity_of(spec))
    checkpoints = None
    if world.primary:
        checkpoints = Checkpoints(folder / CHECKPOINT_DIR, spec.checkpoint_every_s)
    trainer = Trainer(setup, TrainingState(history), events, checkpoints, stop)
    _resume(trainer, checkpoints, history, events, world)
    if spec.teachers:
        events.phase(Phase.TEACHER)
    teachers = _score_teachers(prepared, setup.validation_set)
    if teachers.accuracy is not None:
        events.metrics(0, {TEACHER_ACCURACY: teachers.accuracy})
    outcomes = trainer.run()
    world.leave()
    if not world.primary:
        return None
    if output_cache is not None:
        output_cache.finish()
        _warn(events, output_cache.warnings)
    events.phase(Phase.EVALUATING)
    if prepared.eval_set is not setup.validation_set:
        teachers = _score_teachers(prepared, prepared.eval_set)
    student = report_student("student", outcomes["student"], prepared)
    baseline = None
    if "baseline" in outcomes:
        baseline = report_student("baseline", outcomes["baseline"], prepared)
    events.phase(Phase.EXPORTING)
    epochs = setup.arms[0].epochs
    artifacts = export_all(outcomes, prepared, spec.export, epochs, folder / OUT_DIR)
    events.phase(Phase.SAVING)
    history.seconds = dict(events.seconds)
    return make_result(prepared, teachers, student, baseline, artifacts, history)


def identity_of(spec: DistillRun) -> str:
    """Hash everything in the spec that decides what is trained."""
    return json_sha256(spec.model_dump(mode="json", exclude=NOT_IDENTITY))


def _resume(
    trainer: Trainer,
    checkpoints: Checkpoints | None,
    history: History,
    events: EventLog,
    world: World,
) -> None:
    snapshot, warnings = share_snapshot(
        world, lambda: (None, []) if checkpoints is None else checkpoints.load(history.identity)
    )
    _warn(events, warnings)
    if snapshot is None:
        if warnings:
            events.log("warning", "no valid checkpoint is left to resume from: the run starts over")
        return
    if snapshot.facts["history"]["identity"] != history.identity:
        raise RunError(
            SpecCode.CHECKPOINT_OF_OTHER_SPEC,
            "the checkpoints in this directory were made with another spec; use an empty directory",
        )
    trainer.resume(snapshot)
    position = snapshot.facts["position"]
    events.log(
        "info",
        f"resumed the {position['arm']} in stage {position['stage'] + 1}, after "
        f"{position['epoch']} epochs and {position['step']} steps",
    )
    if not history.bit_exact:
        events.log("warning", "resumed on another machine profile: results may differ in bits")


def _score_teachers(prepared: PreparedRun, eval_set: EvalSet | None) -> TeacherScores:
    shared = prepared.setup.shared
    teachers, mean = shared.teachers, shared.context.ensemble
    classes = prepared.student.network.num_classes
    if eval_set is None:
        return TeacherScores(tuple(NOT_SCORED for _ in teachers))
    if shared.output_cache is None or eval_set.content is None:
        return score_teachers(teachers, mean, classes, eval_set)
    cached = shared.output_cache.scores(
        {
            "images": eval_set.content,
            "indices": None if eval_set.indices is None else eval_set.indices.tolist(),
            "teachers": [teacher.facts() for teacher in teachers],
            "weights": [teacher.weight for teacher in teachers],
            "ensemble": mean,
            "classes": classes,
        }
    )
    return cached_teacher_scores(teachers, mean, classes, eval_set, cached)


def _warn(events: EventLog, warnings: Sequence[str]) -> None:
    for warning in warnings:
        events.log("warning", warning)

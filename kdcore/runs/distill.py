"""A distillation from spec to result: prepare, train or resume, evaluate, export, write down."""

import hashlib
import json
import os
from pathlib import Path

from pydantic.main import IncEx

from kdcore.runs.prepare import PreparedRun, prepare
from kdcore.runs.report import NOT_SCORED, export_all, make_result, report_student
from kdcore.runtime.distributed import ALONE, World
from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import Stop
from kdcore.spec.names import TEACHER_ACCURACY, Phase
from kdcore.spec.result import DistillResult
from kdcore.spec.run import CHECKPOINT_DIR, OUT_DIR, DistillRun
from kdcore.spec.spec_codes import SpecCode
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.data_parallel import share_snapshot
from kdcore.training.evaluate import EvalSet, TeacherScores, restore_teacher_scores, score_teachers
from kdcore.training.state import History, TrainingState
from kdcore.training.trainer import Trainer

# What may differ between attempts of one run, or has no bearing on what is trained.
NOT_IDENTITY: dict[str, IncEx | bool] = {
    "device": True,
    "threads": True,
    "precision": True,
    "limits": True,
    "checkpoint_every_s": True,
    "export": True,
    "dataset": {"path", "sha256", "packs"},
    "student": {"initial_weights"},
    "teachers": {"__all__": {"weights", "sha256", "name"}},
}


def distill(
    spec: DistillRun,
    folder: Path,
    events: EventLog,
    stop: Stop,
    world: World = ALONE,
) -> DistillResult | None:
    """Run a distillation in `folder`, going on from its newest valid checkpoint if it has one.

    All processes of a world train; the primary alone measures and writes, the others return None.
    Raises RunError, and Interrupted after a checkpoint.
    """
    prepared = prepare(spec, folder, lambda line: events.log("info", line), world)
    for warning in prepared.warnings:
        events.log("warning", warning)
    if world.size > 1:
        events.log(
            "info", f"{world.size} processes share every batch; teacher outputs are not kept"
        )
    history = History(machine=prepared.setup.device.profile(), identity=identity_of(spec))
    trainer = Trainer(
        prepared.setup,
        TrainingState(history),
        events,
        checkpoints := Checkpoints(folder / CHECKPOINT_DIR) if world.primary else None,
        spec.checkpoint_every_s,
        stop,
    )
    _resume(trainer, checkpoints, history, events, world)
    if spec.teachers:
        events.phase(Phase.TEACHER)
    first = _examine_teachers(prepared, prepared.setup.eval_set)
    if first.accuracy is not None:
        events.metrics(0, {TEACHER_ACCURACY: first.accuracy})
    outcomes = trainer.run()
    world.leave()
    if not world.primary:
        return None
    if (output_cache := prepared.setup.output_cache) is not None:
        output_cache.finish()
        for warning in output_cache.warnings:
            events.log("warning", warning)
    events.phase(Phase.EVALUATING)
    again = prepared.eval_set is not prepared.setup.eval_set
    teachers = _examine_teachers(prepared, prepared.eval_set) if again else first
    student = report_student("student", outcomes["student"], prepared)
    scratch = outcomes.get("baseline")
    baseline = None if scratch is None else report_student("baseline", scratch, prepared)
    events.phase(Phase.EXPORTING)
    out = folder / OUT_DIR
    epochs = prepared.setup.arms[0].epochs
    artifacts = export_all(outcomes, prepared, spec.export, epochs, out)
    events.phase(Phase.SAVING)
    history.seconds = dict(events.seconds)
    return make_result(prepared, teachers, student, baseline, artifacts, history)


def identity_of(spec: DistillRun) -> str:
    """A hash of all in the spec that decides what is trained."""
    said = spec.model_dump(mode="json", exclude=NOT_IDENTITY)
    if spec.teacher_cache.views is None:
        del said["teacher_cache"]  # it decides nothing then
    else:
        said["teacher_cache"] = {"views": spec.teacher_cache.views}
    # Runs that began before these were there go on.
    if spec.data.accumulate == 1:
        del said["data"]["accumulate"]
    if spec.data.resize_to is None:
        del said["data"]["resize_to"]
    for stage in said["stages"]:
        if stage["ema"] is None:
            del stage["ema"]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    writing = path.with_suffix(".writing")
    with writing.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    writing.replace(path)


def _resume(
    trainer: Trainer,
    checkpoints: Checkpoints | None,
    history: History,
    events: EventLog,
    world: World,
) -> None:
    snapshot, complaints = share_snapshot(
        world, lambda: (None, []) if checkpoints is None else checkpoints.load(history.identity)
    )
    for complaint in complaints:
        events.log("warning", complaint)
    if snapshot is None:
        if complaints:
            events.log("warning", "no checkpoint is left to go on from: the run starts over")
        return
    if snapshot.facts["history"]["identity"] != history.identity:
        raise RunError(
            SpecCode.CHECKPOINT_OF_OTHER_SPEC,
            "the checkpoints in this directory were made with another spec; use a fresh one",
        )
    trainer.resume(snapshot)
    position = snapshot.facts["position"]
    events.log(
        "info",
        f"resumed the {position['arm']} at stage {position['stage'] + 1}, "
        f"{position['epoch']} epochs and {position['step']} steps into it",
    )
    if not history.bit_exact:
        events.log("warning", "resumed on another machine profile: results may differ in bits")


def _examine_teachers(prepared: PreparedRun, eval_set: EvalSet | None) -> TeacherScores:
    setup, classes = prepared.setup, prepared.network.num_classes
    teachers, mean, output_cache = setup.teachers, setup.context.ensemble, setup.output_cache
    if eval_set is None:
        return TeacherScores(tuple(NOT_SCORED for _ in teachers))
    if output_cache is None or eval_set.content is None:
        return score_teachers(teachers, mean, classes, eval_set)
    kept = output_cache.scores(
        {
            "exam": eval_set.content,
            "indices": None if eval_set.indices is None else eval_set.indices.tolist(),
            "teachers": [teacher.facts() for teacher in teachers],
            "weights": [teacher.weight for teacher in teachers],
            "ensemble": mean,
            "classes": classes,
        }
    )
    return restore_teacher_scores(teachers, mean, classes, eval_set, kept)

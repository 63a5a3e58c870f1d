"""The main job from end to end on real digits: its recipe, and its steps over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillery.cli.commands.common import download_bar, upload_bar
from distillery.cli.display import Display
from distillery.cli.follow import follow
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.sdk.client import Client
from distillery.sdk.errors import ClientError
from distillery.wire.catalog import Dataset, Model
from distillery.wire.jobs import Job

Spec = dict[str, Any]

# The recipe of the README's table: a teacher that has seen every training image, a student that
# may see 500 of them. Digits have a right way round, so nothing is flipped.
TEACHER = {"architecture": "resnet20"}
STUDENT = {"architecture": "resnet8", "options": {"width": 0.25}}
TEACHER_DATA = {"batch_size": 64, "augment": ["crop"]}
STUDENT_DATA = {"batch_size": 32, "augment": ["crop"], "train_limit": 500}
SCHEDULE = {"name": "cosine", "warmup_epochs": 1.0}
TEACHER_STAGE = {
    "epochs": 6,
    "objectives": [{"method": "hard_target"}],
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 5e-4},
    "schedule": SCHEDULE,
}
STUDENT_STAGE = {
    "epochs": 60,
    "objectives": [{"method": "kd", "temperature": 4.0}],
    "optimizer": {"name": "sgd", "learning_rate": 0.05, "weight_decay": 1e-4},
    "schedule": SCHEDULE,
}


@dataclass(frozen=True)
class Outcome:
    """What the demo made: the student jobs, one per seed, and where the files are."""

    jobs: Sequence[Job]
    folder: Path


def teacher_spec(dataset: str) -> Spec:
    """Plain training: no teacher, the labels alone."""
    return {
        "name": "digits: teacher",
        "student": TEACHER,
        "dataset": dataset,
        "stages": [TEACHER_STAGE],
        "data": TEACHER_DATA,
        "baseline": False,
    }


def student_spec(dataset: str, teacher: str, seed: int) -> Spec:
    """Distillation of a much smaller student, with the same student from scratch beside it."""
    return {
        "name": f"digits: student, seed {seed}",
        "teachers": [{"model": teacher}],
        "student": STUDENT,
        "dataset": dataset,
        "stages": [STUDENT_STAGE],
        "data": STUDENT_DATA,
        "seed": seed,
    }


def play(term: Terminal, service: Client, folder: Path, seeds: Sequence[int]) -> Outcome:
    """Dataset, teacher, the teacher's way out and in again, students, artifacts."""
    dataset = _push_digits(term, service, folder)
    trained = _carry_out(term, service, teacher_spec(dataset.id))
    teacher = _push_teacher(term, service, trained, folder)
    jobs = [_carry_out(term, service, student_spec(dataset.id, teacher.id, seed)) for seed in seeds]
    for job in jobs:
        target = folder / f"student-seed-{(job.spec and job.spec.seed) or 0}"
        for artifact in service.jobs.artifacts(job.id):
            with download_bar(term, artifact.name, artifact.size_bytes) as report:
                service.jobs.pull(artifact, target, report)
    return Outcome(jobs, folder)


def _push_digits(term: Terminal, service: Client, folder: Path) -> Dataset:
    with term.err.status("Reading 5,000 MNIST digits"):
        from distillery.cli.digits import write_digits  # a bare installation lacks its packages

        path = write_digits(folder / "digits.npz")
    with upload_bar(term, path) as report:
        dataset = service.datasets.push(path, format="npz", name="digits", on_progress=report)
    with term.err.status("Inspecting"):
        dataset = service.datasets.wait(dataset.id)
    term.say(
        f"[green]✓[/] dataset {dataset.id}: {dataset.train:,} images to train on, "
        f"{dataset.test:,} held out"
    )
    return dataset


def _push_teacher(term: Terminal, service: Client, job: Job, folder: Path) -> Model:
    """Fetch the trained weights, then send them as a user with a trained teacher would."""
    assert job.student_model is not None
    made = service.models.get(job.student_model)
    path = folder / "teacher.safetensors"
    with download_bar(term, path.name, made.size_bytes) as report:
        service.models.pull(made, path, report)
    with upload_bar(term, path) as report_sent:
        teacher = service.models.push_network(
            path, made.network, name="digits-teacher", on_progress=report_sent
        )
    with term.err.status("Inspecting"):
        teacher = service.models.wait(teacher.id)
    term.say(f"[green]✓[/] teacher {teacher.id}: {teacher.parameters:,} parameters, uploaded")
    return teacher


def _carry_out(term: Terminal, service: Client, spec: Spec) -> Job:
    job = service.jobs.submit(spec)
    run_status = RunStatus(job.name, job.state)
    with Display(term.out, run_status, as_json=term.as_json) as display:
        job = follow(service.jobs, job.id, display)
    if job.state != "succeeded":
        reason = f"{job.error.message} ({job.error.code})" if job.error else str(job.state)
        raise ClientError(f"The job {job.name!r} did not succeed: {reason}")
    return job

"""Runs the main job from end to end on real digits: its recipe, and its steps over HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillery.cli.display import StatusDisplay
from distillery.cli.follow import follow
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.sdk.client import Client
from distillery.sdk.errors import JobFailed
from distillery.sdk.format import number
from distillery.sdk.job import Job
from distillery.sdk.views import Dataset, Model

Spec = dict[str, Any]

# The recipe of the README's table: the teacher sees every training image, the student 500 of them.
# Digits are never mirrored, so there is no flip.
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
    """The student jobs, one per seed, and the folder of the files."""

    jobs: Sequence[Job]
    folder: Path


def teacher_spec(dataset: str) -> Spec:
    """Describe plain training: no teacher, only labels."""
    return {
        "name": "digits: teacher",
        "student": TEACHER,
        "dataset": dataset,
        "stages": [TEACHER_STAGE],
        "data": TEACHER_DATA,
        "baseline": False,
    }


def student_spec(dataset: str, teacher: str, seed: int) -> Spec:
    """Describe the distillation of a much smaller student, with its baseline from scratch."""
    return {
        "name": f"digits: student, seed {seed}",
        "teachers": [{"model": teacher}],
        "student": STUDENT,
        "dataset": dataset,
        "stages": [STUDENT_STAGE],
        "data": STUDENT_DATA,
        "seed": seed,
    }


def play(term: Terminal, client: Client, folder: Path, seeds: Sequence[int]) -> Outcome:
    """Push the dataset, train the teacher, download and push it, distil and download students."""
    dataset = _push_digits(term, client, folder)
    trained = _carry_out(term, client, teacher_spec(dataset.id))
    teacher = _push_teacher(term, client, trained, folder)
    jobs = [_carry_out(term, client, student_spec(dataset.id, teacher.id, seed)) for seed in seeds]
    for seed, job in zip(seeds, jobs, strict=True):
        job.download(folder / f"student-seed-{seed}")
    return Outcome(jobs, folder)


def _push_digits(term: Terminal, client: Client, folder: Path) -> Dataset:
    with term.err.status("Reading 5,000 MNIST digits"):
        from distillery.cli.digits import write_digits  # a bare installation lacks its packages

        path = write_digits(folder / "digits.npz")
    dataset = client.datasets.push(path)
    term.print(f"[green]✓[/] dataset {dataset.id}: {dataset.images()}")
    return dataset


def _push_teacher(term: Terminal, client: Client, job: Job, folder: Path) -> Model:
    """Download the trained weights, then push them as a user with a trained teacher would."""
    assert job.student_model is not None
    weights = client.models.download(client.models.get(job.student_model), folder)
    teacher = client.models.push(weights, name="digits-teacher")
    term.print(f"[green]✓[/] teacher {teacher.id}: {number(teacher.parameters)} parameters")
    return teacher


def _carry_out(term: Terminal, client: Client, spec: Spec) -> Job:
    job = client.jobs.submit(spec)
    with StatusDisplay(term.out, RunStatus(job.name, job.state), as_json=term.as_json) as display:
        follow(client.jobs, job, display)
    if job.state != "succeeded":
        raise JobFailed(job)
    return job

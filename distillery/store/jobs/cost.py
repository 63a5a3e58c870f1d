"""Estimates a job's cost: optimizer steps, images, and seconds as of the last similar job."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from distillery.store.db.tables import Job
from distillery.store.jobs.fit import check
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State

_LOOK_BACK = 50


@dataclass(frozen=True)
class Estimate:
    """The cost of training the student and the baseline."""

    steps: int
    images: int
    estimated_s: float | None  # None without a similar job


def estimate(s: Session, tenant: str, spec: JobSpec) -> Estimate:
    """Check a spec as `submit` does, and estimate its cost. Raises Invalid or NotReady."""
    named = check(s, tenant, spec, lock=False)
    train = named.dataset.train
    steps, images = _work(spec, train)
    pace = _images_per_s(s, tenant, spec, train)
    return Estimate(steps, images, None if pace is None else images / pace)


def _work(spec: JobSpec, train: int) -> tuple[int, int]:
    """Return steps and images: in every epoch the whole batches that validation leaves."""
    data = spec.data
    images = min(train, data.train_limit or train)
    held_out = max(1, round(images * data.validation)) if data.validation and images > 1 else 0
    batch, batches = data.per_step(images - held_out)
    arms = 2 if spec.baseline and spec.needs_teacher() else 1
    epochs = arms * sum(stage.epochs for stage in spec.stages)
    steps = epochs * ((images - held_out) // (batch * batches))
    return steps, steps * batch * batches


def _images_per_s(s: Session, tenant: str, spec: JobSpec, train: int) -> float | None:
    """Return the overall rate of the newest succeeded job with the same networks and dataset."""
    done = (
        select(Job)
        .where(Job.tenant == tenant, Job.task == "distill", Job.state == State.SUCCEEDED)
        .order_by(Job.id.desc())
        .options(load_only(Job.spec, Job.result, raiseload=True))
    )
    for job in s.scalars(done.limit(_LOOK_BACK)):
        other = JobSpec.model_validate(job.spec)
        seconds = float(sum((job.result or {}).get("seconds", {}).values()))
        if seconds > 0 and _similarity(other) == _similarity(spec):
            return _work(other, train)[1] / seconds
    return None


def _similarity(spec: JobSpec) -> tuple[object, ...]:
    return (
        spec.dataset,
        spec.student.architecture,
        spec.student.options,
        tuple(teacher.model for teacher in spec.teachers),
        spec.data.image_size,
        spec.data.pad_to,
    )

"""I5 and I7: blobs match their rows, results come from one attempt, weights equal the control."""

from collections import defaultdict

from sqlalchemy import select

from distillery.store.db.tables import Artifact, Blob, Dataset, Job, Model, TeacherOutput, Upload
from distillery.store.errors import NotFound
from distillery.wire.states import State
from tests.faults.invariants.evidence import Evidence, Violation, Violations, by_job

_REFERENCES = (
    (Artifact.sha256, Artifact.job_id, "artifact of"),
    (Model.blob, Model.id, "weights of"),
    (Dataset.blob, Dataset.id, "bytes of"),
    (TeacherOutput.blob, TeacherOutput.key, "teacher outputs"),
    (Upload.blob, Upload.id, "bytes of"),
)


def bytes_are_whole(evidence: Evidence) -> Violations:
    """I5: every blob in a row is in storage with its size and hash; a succeeded job has the
    artifacts that its result names, and other jobs have none."""
    yield from _blobs_are_there(evidence)
    query = select(Artifact).order_by(Artifact.job_id, Artifact.name)
    artifacts = by_job(evidence.session.scalars(query))
    for job in evidence.jobs:
        yield from _one_final_set(evidence, job, artifacts.get(job.id, []))


def _blobs_are_there(evidence: Evidence) -> Violations:
    users = defaultdict(list)
    for column, owner, what in _REFERENCES:
        for sha256, name in evidence.session.execute(
            select(column, owner).where(column.is_not(None))
        ):
            users[sha256].append(f"{what} {name}")
    if evidence.blobs is None:
        return
    for blob in evidence.session.scalars(select(Blob).order_by(Blob.sha256)):
        named = "; ".join(users[blob.sha256][:3]) or "unreferenced"
        try:
            if evidence.blobs.size(blob.sha256) != blob.size:
                yield Violation(blob.sha256, f"has another size in storage ({named})")
            elif not evidence.blobs.verify(blob.sha256):
                yield Violation(blob.sha256, f"has other bytes in storage ({named})")
        except NotFound:
            yield Violation(blob.sha256, f"is not in storage ({named})")


def _one_final_set(evidence: Evidence, job: Job, artifacts: list[Artifact]) -> Violations:
    result = job.result or {}
    wanted = {}
    if job.state is State.SUCCEEDED and job.task == "distill":
        wanted = {each["path"]: each["sha256"] for each in result.get("artifacts", [])}
        student = evidence.session.get(Model, job.student_model or "")
        weights = [each.sha256 for each in artifacts if each.kind == "weights"]
        if student is None or weights != [student.blob]:
            yield Violation(job.id, "its student model does not have its weights")
    found = {each.name: each.sha256 for each in artifacts}
    if found != wanted or len(artifacts) != len(wanted):
        yield Violation(
            job.id,
            f"is {job.state} with artifacts {sorted(found)}; its result has {sorted(wanted)}",
        )
    query = select(Model.id).where(Model.source_job == job.id)
    students = list(evidence.session.scalars(query))
    if len(students) > (job.state is State.SUCCEEDED):
        yield Violation(job.id, f"is {job.state} and made the models {students}")


def weights_are_the_controls(evidence: Evidence) -> Violations:
    """I7: the weights of a succeeded job equal those of an uninterrupted run, bit for bit."""
    if not evidence.controls:
        return
    query = (
        select(Artifact.job_id, Artifact.sha256)
        .join(Job, Job.id == Artifact.job_id)
        .where(Artifact.kind == "weights", Job.state == State.SUCCEEDED)
        .order_by(Artifact.job_id)
    )
    for job_id, sha256 in evidence.session.execute(query):
        counts = evidence.compared is None or job_id in evidence.compared
        if counts and sha256 not in evidence.controls:
            yield Violation(job_id, f"weights {sha256[:12]} are not the control's")

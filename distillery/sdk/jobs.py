"""The jobs of a service: submit, check, get, list."""

from collections.abc import Iterator, Mapping
from typing import Any

from distillery.sdk.job import Job
from distillery.sdk.progress import Progress
from distillery.sdk.transport import Transport
from distillery.wire.jobs import Check, JobCreate, JobSummary

Spec = JobCreate | Mapping[str, Any]


class Jobs:
    """The jobs of a service; `client.jobs`."""

    def __init__(self, transport: Transport, progress: Progress):
        self._transport = transport
        self._progress = progress

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> Job:
        """Submit a job. Raises ApiError with a JSON pointer for each mistake in the spec.

        Submitting again with the same `idempotency_key` returns the first job (default: each call
        makes a job).
        """
        job = self._transport.post("/jobs", Job, spec, idempotency_key=idempotency_key)
        return job.attach(self._transport, self._progress)

    def check(self, spec: Spec) -> Check:
        """Estimate what the job would cost, without submitting it. Raises as `submit` does."""
        return self._transport.post("/jobs", Check, spec, query={"dry_run": True})

    def get(self, job_id: str) -> Job:
        """Fetch one job."""
        job = self._transport.get(f"/jobs/{job_id}", Job)
        return job.attach(self._transport, self._progress)

    def list(
        self, *, state: str | None = None, task: str | None = None, order: str | None = None
    ) -> Iterator[JobSummary]:
        """Yield summaries of jobs, page by page: newest first, or highest `order` first
        (`student_accuracy`, `gain`, ...). Default `task`: `distill`, which leaves out inspections.
        `get` turns a summary's id into a Job.
        """
        query = {"state": state, "task": task, "order": order}
        return self._transport.pages("/jobs", JobSummary, query)

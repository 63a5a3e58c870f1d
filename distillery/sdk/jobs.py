"""Jobs of a service: submit, steer, watch, measure, and take the artifacts home."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from distillery.sdk.downloads import Progress, download
from distillery.sdk.errors import ApiError, Unreachable
from distillery.sdk.sse import parse
from distillery.sdk.transport import BUSY, LONGEST_WAIT_S, Transport
from distillery.wire.jobs import (
    Artifact,
    Check,
    Event,
    Job,
    JobCreate,
    JobSummary,
    Metrics,
    Transition,
)

Spec = JobCreate | Mapping[str, Any]


class Jobs:
    """The jobs of a service."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def submit(self, spec: Spec, *, idempotency_key: str | None = None) -> Job:
        """Ask for a job. Raises ApiError with a JSON pointer for each thing wrong in the spec."""
        return self._transport.post("/jobs", Job, spec, idempotency_key=idempotency_key)

    def check(self, spec: Spec) -> Check:
        """A dry run: what the job would cost, or the error `submit` would raise."""
        return self._transport.post("/jobs", Check, spec, query={"dry_run": True})

    def get(self, job_id: str) -> Job:
        """One job, whole."""
        return self._transport.get(f"/jobs/{job_id}", Job)

    def list(
        self, *, state: str | None = None, task: str | None = None, order: str | None = None
    ) -> Iterator[JobSummary]:
        """Jobs, fetched page by page: newest first, or with the highest `order` first
        (`student_accuracy`, `gain`, ...); `task` is `distill` unless given."""
        query = {"state": state, "task": task, "order": order}
        return self._transport.pages("/jobs", JobSummary, query)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop for good; a running one ends after its current step."""
        return self._steer(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Ask a job to checkpoint and give its slot back until `resume`."""
        return self._steer(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Queue a paused job again."""
        return self._steer(job_id, "resume")

    def retry(self, job_id: str) -> Job:
        """Queue a failed job again."""
        return self._steer(job_id, "retry")

    def transitions(self, job_id: str) -> tuple[Transition, ...]:
        """Every move of the job's state, oldest first."""
        return tuple(self._transport.pages(f"/jobs/{job_id}/transitions", Transition))

    def events(self, job_id: str) -> Iterator[Event]:
        """What has happened so far, oldest first, fetched page by page; see `watch`."""
        return self._transport.pages(f"/jobs/{job_id}/events", Event)

    def metrics(
        self,
        job_id: str,
        *,
        keys: Sequence[str] | None = None,
        after_step: int | None = None,
        max_points: int | None = None,
    ) -> Metrics:
        """Curves after `after_step`, all of them unless `keys` are given."""
        query = {
            "keys": ",".join(keys) if keys else None,
            "after_step": after_step,
            "max_points": max_points,
        }
        return self._transport.get(f"/jobs/{job_id}/metrics", Metrics, query)

    def watch(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """Events after id `after`, live, until the job has ended; outlives lost connections.

        Raises ApiError when the service refuses, Unreachable when it stays away.
        """
        wait_s, lost_at_s = 0.2, None
        while True:
            try:
                for event in self._stream(job_id, after):
                    if event is None:
                        return
                    yield event
                    after, wait_s, lost_at_s = event.id, 0.2, None
            except httpx.HTTPError as error:
                lost_at_s = lost_at_s or time.monotonic()
                if time.monotonic() - lost_at_s > self._transport.patience_s:
                    raise Unreachable(f"Lost the service while watching {job_id}.") from error
            except ApiError as error:
                if error.problem.status not in BUSY:
                    raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """The files a job has made; none before it has succeeded."""
        return tuple(self._transport.pages(f"/jobs/{job_id}/artifacts", Artifact))

    def pull(self, artifact: Artifact, folder: Path, on_progress: Progress | None = None) -> Path:
        """Fetch an artifact into `folder` under its own name; its sha256 is checked."""
        target = folder / PurePosixPath(artifact.name).name
        return download(self._transport, artifact.href, target, artifact.sha256, on_progress)

    def _steer(self, job_id: str, verb: str) -> Job:
        return self._transport.post(f"/jobs/{job_id}/{verb}", Job)

    def _stream(self, job_id: str, after: int) -> Iterator[Event | None]:
        """Events of one connection; None when the service says that the job has ended."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._transport.stream(f"/jobs/{job_id}/events", headers) as answer:
            for message in parse(answer.iter_lines()):
                # The stream's own end is no event of the job; a run's `end` event is one.
                if message.event == "end" and "id" not in json.loads(message.data):
                    yield None
                    return
                yield Event.model_validate_json(message.data)

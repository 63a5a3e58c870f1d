"""A job as an object: what it is now, and what can be done with it."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

import httpx
from pydantic import ConfigDict, PrivateAttr

from distillery.sdk import html
from distillery.sdk.downloads import download
from distillery.sdk.errors import ApiError, JobFailed, Unreachable
from distillery.sdk.format import clock, percent, phase_label
from distillery.sdk.progress import OnProgress, Progress
from distillery.sdk.sse import parse
from distillery.sdk.transport import BUSY, LONGEST_WAIT_S, Transport
from distillery.sdk.views import Event, Metrics, Result
from distillery.wire import jobs as wire
from distillery.wire.jobs import Artifact, Transition
from kdcore.spec.names import LABELS, Metric

POLL_S = 0.5


class Job(wire.Job):
    """A job of a service.

    Its fields (`state`, `progress`, `latest`, `result`, `error`, ...) are those of the last
    request; `refresh`, `wait`, the end of `follow` and every action bring them up to date. Once
    `terminal`, the job has ended and `state` is succeeded, failed or cancelled.
    """

    model_config = ConfigDict(frozen=False)

    result: Result | None
    _transport: Transport = PrivateAttr()
    _progress: Progress = PrivateAttr()

    def attach(self, transport: Transport, progress: Progress) -> Self:
        """Give the job the connection that its methods use; `client.jobs` does so."""
        self._transport, self._progress = transport, progress
        return self

    def refresh(self) -> Self:
        """Ask the service how the job is now."""
        return self._take(self._transport.get(f"/jobs/{self.id}", Job))

    def cancel(self) -> Self:
        """Ask the job to stop for good; a running one stops after its current step."""
        return self._act("cancel")

    def pause(self) -> Self:
        """Ask the job to write a checkpoint and to free its slot until `resume`."""
        return self._act("pause")

    def resume(self) -> Self:
        """Queue the paused job again; it goes on from its checkpoint."""
        return self._act("resume")

    def retry(self) -> Self:
        """Queue the failed job again; it goes on from its last checkpoint."""
        return self._act("retry")

    def wait(self, timeout_s: float | None = None) -> Self:
        """Wait until the job has succeeded, and show its progress meanwhile.

        Raises JobFailed when it fails or is cancelled, and TimeoutError after `timeout_s`. A paused
        job is waited for; interrupting the wait leaves the job as it is.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._progress.line() as show:
            while not self.refresh().terminal:
                show(self.headline())
                if until_s is not None and time.monotonic() > until_s:
                    raise TimeoutError(f"{self.id} is still {self.state} after {timeout_s} s")
                time.sleep(POLL_S)
        if self.state != "succeeded":
            raise JobFailed(self)
        return self

    def follow(self, *, after: int = 0) -> Iterator[Event]:
        """Yield the job's events from the first (or after an event id) until the job has ended.

        Lost connections are made again without losing or repeating an event. The job's own fields
        are brought up to date at the end. Raises Unreachable when the service stays away.
        """
        wait_s, lost_at_s = 0.2, None
        while True:
            try:
                for event in self._stream(after):
                    if event is None:
                        self.refresh()
                        return
                    yield event
                    after, wait_s, lost_at_s = event.id, 0.2, None
            except httpx.HTTPError as error:
                lost_at_s = lost_at_s or time.monotonic()
                if time.monotonic() - lost_at_s > self._transport.patience_s:
                    raise Unreachable(f"Lost the service while following {self.id}.") from error
            except ApiError as error:
                if error.problem.status not in BUSY:
                    raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    def events(self) -> Iterator[Event]:
        """Yield the events so far, oldest first, fetched page by page; see `follow`."""
        return self._transport.pages(f"/jobs/{self.id}/events", Event)

    def transitions(self) -> tuple[Transition, ...]:
        """List every change of the job's state, oldest first."""
        return tuple(self._transport.pages(f"/jobs/{self.id}/transitions", Transition))

    def metrics(
        self,
        keys: Sequence[str] | None = None,
        *,
        after_step: int | None = None,
        max_points: int | None = None,
    ) -> Metrics:
        """Fetch the curves: all, or those named by `keys`; points after `after_step` (default: from
        the start), thinned out to `max_points` per curve (default: the service's 500)."""
        query = {
            "keys": ",".join(keys) if keys else None,
            "after_step": after_step,
            "max_points": max_points,
        }
        return self._transport.get(f"/jobs/{self.id}/metrics", Metrics, query)

    def artifacts(self) -> tuple[Artifact, ...]:
        """List the files that the job has made; empty until it has succeeded."""
        return tuple(self._transport.pages(f"/jobs/{self.id}/artifacts", Artifact))

    def download(self, folder: str | Path) -> Path:
        """Fetch every artifact into `folder` and return it; `load_student` reads that folder.

        Files that are there already are not fetched again. Raises Corrupt when bytes do not have
        the sha256 that the service names.
        """
        for artifact in self.artifacts():
            with self._progress.transfer(f"Downloading {artifact.name}") as report:
                self.download_file(artifact, folder, report)
        return Path(folder)

    def download_file(
        self, artifact: Artifact, folder: str | Path, on_progress: OnProgress | None = None
    ) -> Path:
        """Fetch one artifact into `folder` under its own name, and return the file."""
        target = Path(folder) / PurePosixPath(artifact.name).name
        return download(
            self._transport,
            artifact.href,
            target,
            sha256=artifact.sha256,
            size=artifact.size_bytes,
            on_progress=on_progress,
        )

    def headline(self) -> str:
        """Name, state, phase, progress and time left in one line."""
        words = [f"{self.name}: {self.state}"]
        if self.state == "running":
            words += [phase_label(self.phase)] if self.phase else []
            if self.progress:
                words.append(f"epoch {self.progress.epoch}/{self.progress.epochs}")
                words.append(f"{self.progress.fraction:.0%}")
                words += [f"{clock(self.progress.eta_s)} left"] if self.progress.eta_s else []
        elif self.waiting:
            words.append(self.waiting.message)
        return ", ".join(words)

    def _act(self, verb: str) -> Self:
        return self._take(self._transport.post(f"/jobs/{self.id}/{verb}", Job))

    def _take(self, fresh: "Job") -> Self:
        for name in Job.model_fields:
            setattr(self, name, getattr(fresh, name))
        return self

    def _stream(self, after: int) -> Iterator[Event | None]:
        """Yield the events of one connection, and None once the job has ended."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._transport.stream(f"/jobs/{self.id}/events", headers) as answer:
            for message in parse(answer.iter_lines()):
                # The stream's own end has no id; a run's `end` event has one, and an attempt may
                # follow it.
                if message.event == "end" and "id" not in json.loads(message.data):
                    yield None
                    return
                yield Event.model_validate_json(message.data)

    def __repr__(self) -> str:
        return f"Job({self.id!r}, {self.headline()!r})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = [("state", self.headline().removeprefix(f"{self.name}: "))]
        for network, label in LABELS.items():
            accuracy = self.latest.get(Metric.ACCURACY.of(network))
            if self.result is None and accuracy is not None:
                rows.append((f"accuracy (validation), {label}", percent(accuracy)))
        if self.error:
            where = f" at {self.error.pointer}" if self.error.pointer else ""
            rows.append(("error", f"{self.error.code}{where}: {self.error.message}"))
        result = self.result._repr_html_() if self.result else ""
        return html.titled(f"{self.name} ({self.id})", html.table(rows), result)

"""Follows a job to its end on a display: events as they come, its state every few seconds."""

import queue
import threading
import time

from distillery.cli.display import StatusDisplay
from distillery.sdk.errors import ClientError
from distillery.sdk.job import Job
from distillery.sdk.jobs import Jobs
from distillery.sdk.views import Event

REFRESH_S = 2.0
TICK_S = 0.25


def follow(jobs: Jobs, job: Job, display: StatusDisplay) -> None:
    """Show the job until it has ended; it is up to date then. Raises ApiError, Unreachable."""
    arrivals: queue.SimpleQueue[Event | ClientError | None] = queue.SimpleQueue()
    followed = jobs.get(job.id)  # an object of its own: the two threads share nothing

    def receive() -> None:
        try:
            for event in followed.follow():
                arrivals.put(event)
            arrivals.put(None)
        except ClientError as error:
            arrivals.put(error)

    threading.Thread(target=receive, name="follow", daemon=True).start()
    refreshed_s, ended = 0.0, False
    while True:
        if ended or time.monotonic() - refreshed_s > REFRESH_S:
            display.run_status.apply_job(job.refresh())
            display.show()
            refreshed_s = time.monotonic()
            # The row is the truth: a stream may end a moment before the job's state says so.
            if ended and job.terminal:
                return
        try:
            arrival = arrivals.get(timeout=TICK_S)
        except queue.Empty:
            continue
        if isinstance(arrival, ClientError):
            raise arrival
        if arrival is None:
            ended = True
        else:
            display.apply_event(arrival.kind, arrival.body, arrival.model_dump(mode="json"))

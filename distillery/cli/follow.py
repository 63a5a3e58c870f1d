"""Follows a job to its end: events as they come, its state every few seconds."""

import queue
import threading
import time

from distillery.cli.display import Display
from distillery.sdk.errors import ClientError
from distillery.sdk.jobs import Jobs
from distillery.wire.jobs import Event, Job

LOOK_S = 2.0
TICK_S = 0.25


def follow(jobs: Jobs, job_id: str, display: Display) -> Job:
    """Show the job until it has ended and return it as it then is. Raises ApiError, Unreachable."""
    arrivals: queue.SimpleQueue[Event | ClientError | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            for event in jobs.watch(job_id):
                arrivals.put(event)
            arrivals.put(None)
        except ClientError as error:
            arrivals.put(error)

    threading.Thread(target=listen, name="watch", daemon=True).start()
    looked_s, ended = 0.0, False
    while True:
        if ended or time.monotonic() - looked_s > LOOK_S:
            job = jobs.get(job_id)
            display.run_status.look(job)
            display.update()
            looked_s = time.monotonic()
            # The row is the truth: a stream may end a moment before the job's state says so.
            if ended and job.terminal:
                return job
        try:
            arrival = arrivals.get(timeout=TICK_S)
        except queue.Empty:
            continue
        if isinstance(arrival, ClientError):
            raise arrival
        if arrival is None:
            ended = True
        else:
            display.event(arrival.kind, arrival.body, arrival.model_dump(mode="json"))

"""A store with jobs whose runs follow a script, and a dispatcher to run them."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distillery.store.blobs.blobs import LocalBlobs, Stored, record
from distillery.store.db.database import Database
from distillery.store.db.tables import Dataset, Job, Model
from distillery.store.jobs.submit import insert_job
from distillery.worker.config import WorkerSettings
from distillery.worker.context import WorkerContext
from distillery.worker.device import DeviceSlot
from distillery.worker.dispatcher import Dispatcher

ODD_RUN = (sys.executable, "-P", str(Path(__file__).with_name("odd_run.py")))
TENANT = "default"


@dataclass
class WorkerHarness:
    """A database, blobs and settings in one temporary directory."""

    home: Path
    url: str
    database: Database
    blobs: LocalBlobs

    def job(self, task: str = "inspect_dataset", **script: Any) -> str:
        """Queue an inspection whose run follows `script`; returns its id."""
        blob = self.blobs.put_stream([json.dumps(script).encode()])
        with self.database.write() as session:
            record(session, blob)
            subject = f"{'mdl' if task == 'inspect_model' else 'ds'}_{time.time_ns()}"
            job = insert_job(session, TENANT, task, "odd", subject=subject)
            session.add(self._subject(task, subject, blob, job.id))
            return job.id

    def _subject(self, task: str, subject: str, blob: Stored, job_id: str) -> Model | Dataset:
        common: dict[str, Any] = {
            "id": subject,
            "tenant": TENANT,
            "name": "odd",
            "state": "inspecting",
            "inspect_job": job_id,
            "created_at": 0,
        }
        if task == "inspect_dataset":
            return Dataset(**common, format="npz", blob=blob.sha256)
        network = {"architecture": "resnet8", "num_classes": 2}
        return Model(**common, format="safetensors", network=network, blob=blob.sha256)

    def get(self, job_id: str) -> Job:
        """The job's row."""
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def wait_for(self, job_id: str, state: str, timeout_s: float = 15) -> Job:
        """Wait until the job is in this state; returns its row."""
        wait_until(lambda: self.get(job_id).state == state, timeout_s)
        return self.get(job_id)

    def settings(self, **changes: Any) -> WorkerSettings:
        """Settings with short intervals."""
        quick: dict[str, Any] = {
            "home": self.home,
            "tick_s": 0.1,
            "poll_s": 0.2,
            "heartbeat_s": 0.5,
            "lease_s": 8,
            "grace_s": 5,
            "threads": 1,
        }
        return WorkerSettings(**quick | changes)

    def dispatcher(self, slots: int = 1, **changes: Any) -> Dispatcher:
        """A dispatcher in this process, whose runs are processes of odd_run.py."""
        lease_database = Database(self.url)
        context = WorkerContext(
            self.settings(**changes), self.database, lease_database, self.blobs, ODD_RUN
        )
        return Dispatcher(context, [DeviceSlot(None, 1)] * slots)


@contextmanager
def running(dispatcher: Dispatcher) -> Iterator[None]:
    """Run the dispatcher while the block lasts."""
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()
        dispatcher.join()


def wait_until(condition: Callable[[], bool], timeout_s: float = 15) -> None:
    """Return once the condition holds; fail after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"the condition does not hold after {timeout_s} s"
        time.sleep(0.02)

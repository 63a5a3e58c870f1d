"""Starts the worker's two programs as real processes, with the runs of odd_run.py."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.notify import Notifier
from distillery.store.db.tables import Worker
from tests.worker.harness import WorkerHarness, wait_until

JOBS = ["-m", "tests.worker.odd_worker"]
REAPER = ["-m", "distillery.worker", "reaper"]


class Programs:
    """Starts programs on a harness; `stop` kills those still running."""

    def __init__(self, harness: WorkerHarness, broker_url: str | None):
        self.harness = harness
        self.broker = BrokerSettings(home=harness.home, broker_url=broker_url)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, arguments: list[str], **settings: object) -> subprocess.Popen[bytes]:
        """Start a program; its log is HOME/log."""
        quick = {
            "TICK_S": 0.1,
            "POLL_S": 60,  # rely on notifications, unless a test sets a shorter poll
            "HEARTBEAT_S": 0.5,
            "LEASE_S": 3,
            "REAPER_S": 0.5,
            "GRACE_S": 5,
            "SLOTS": 1,
            "HOME": self.harness.home,
            "DATABASE_URL": self.harness.url,
            "BROKER_URL": self.broker.url,
        }
        ours = {f"KD_{name}": str(value) for name, value in (quick | settings).items()}
        with self.log.open("ab") as log:
            command = [sys.executable, *arguments]
            process = subprocess.Popen(command, env=os.environ | ours, stdout=log, stderr=log)
        self.started.append(process)
        return process

    @property
    def log(self) -> Path:
        return self.harness.home / "log"

    def has_worker(self) -> bool:
        with self.harness.database.read() as session:
            return session.query(Worker).count() > 0

    def start_jobs(self, **settings: object) -> subprocess.Popen[bytes]:
        """Start the jobs program, and wait for its first poll."""
        process = self.start(JOBS, **settings)
        wait_until(self.has_worker, 30)
        time.sleep(0.2)
        return process

    def notify(self, job_id: str) -> None:
        assert Notifier(make_app(self.broker)).notify(job_id)

    def stop(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


def child_of(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """Wait for the worker's run; returns its process."""
    wait_until(lambda: bool(psutil.Process(worker.pid).children()))
    [child] = psutil.Process(worker.pid).children()
    return child


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def start_running(programs: Programs, **script: Any) -> tuple[subprocess.Popen[bytes], str]:
    job_id = programs.harness.job(steps=600, **script)
    worker = programs.start(JOBS, POLL_S=0.2)
    wait_until(lambda: "student/loss" in programs.harness.get(job_id).latest, 30)
    return worker, job_id

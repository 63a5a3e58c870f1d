"""Measures how soon a submitted job runs and makes its first training step, warm and cold.

    python -m bench.start_up [--jobs 10] [--cold-jobs 5]

Starts API, worker and reaper with the embedded default's settings and submits the demo's
distillation (resnet20 teaching resnet8 on 500 digits), one epoch long, one job after the other.
Warm: each job finds a warm run; in a row: a job is submitted as soon as the one before has ended,
while the next run is still warming up; cold: KD_WARM is off. Times run from just before the request
to the job's transition to `running` (by the store's clock, in milliseconds) and to the first
progress event, which kdcore writes after its first optimizer step. Writes a file to bench/results.
"""

import argparse
import os
import re
import statistics
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.results_file import Measurement, this_hardware, write
from distillery.cli.demo import student_spec, teacher_spec
from distillery.cli.digits import write_digits
from distillery.sdk.client import Client
from tests.e2e.service import Service, finish, wait_until

# The defaults of settings that tests.e2e.service shortens. Runs keep its single thread: two threads
# wait for each other if other work shares the cores.
DEFAULTS = {
    "KD_LEASE_S": "60",
    "KD_HEARTBEAT_S": "10",
    "KD_TICK_S": "1",
    "KD_POLL_S": "3",
    "KD_REAPER_S": "5",
    "KD_STREAM_POLL_S": "0.5",
}
WARM_LINE = re.compile(r"a run is warm for .* after ([0-9.]+) s")
PATIENCE_S = 300.0


class Spread(BaseModel):
    """Durations of several jobs in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p50_s: float
    max_s: float
    each_s: tuple[float, ...]

    @classmethod
    def of(cls, each_s: Sequence[float]) -> "Spread":
        """Build from one duration per job."""
        rounded = tuple(round(s, 3) for s in each_s)
        return cls(p50_s=statistics.median(rounded), max_s=max(rounded), each_s=rounded)


class Case(BaseModel):
    """Times from submission, of every job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    running: Spread
    first_step: Spread


class StartUp(Measurement):
    """The result of `python -m bench.start_up`; `idle_*`: memory of a warm run without a job."""

    kind: Literal["start-up"] = "start-up"
    job: str
    load_before: float
    warm: Case
    in_a_row: Case
    cold: Case
    warm_up: Spread
    idle_unique_mb: float
    idle_resident_mb: float


class WorkerHarness:
    """A service that holds the demo's dataset and a trained teacher."""

    def __init__(self, service: Service, folder: Path):
        self._service = service
        self._client: Client = service.client
        self._log = service.home / "jobs.log"
        data = self._client.datasets.push(write_digits(folder / "digits.npz"), format="npz")
        self.dataset = self._client.datasets.wait(data.id).id
        spec = teacher_spec(self.dataset)
        spec["stages"] = [{**spec["stages"][0], "epochs": 1}]
        spec["data"] = {**spec["data"], "train_limit": 500}
        trained = finish(self._client, self._client.jobs.submit(spec), PATIENCE_S)
        assert trained.student_model is not None, trained.error
        self.teacher = trained.student_model

    def measure(self, jobs: int, ready: bool) -> Case:
        """Run `jobs` jobs, one at a time; with `ready`, submit each only once a run is warm."""
        running_s, step_s = [], []
        for number in range(jobs):
            if ready:
                wait_until(self._is_warm, PATIENCE_S, "a run is warm")
            spec: dict[str, Any] = student_spec(self.dataset, self.teacher, seed=number)
            spec["stages"] = [{**spec["stages"][0], "epochs": 1}]
            began = datetime.now(UTC)
            job = self._client.jobs.submit({**spec, "export": ["safetensors"], "baseline": False})
            job = finish(self._client, job, PATIENCE_S)
            assert job.state == "succeeded" and job.started_at is not None, job.error
            step = next(e for e in self._client.jobs.get(job.id).events() if e.kind == "progress")
            running_s.append((job.started_at - began).total_seconds())
            step_s.append((step.at - began).total_seconds())
        return Case(running=Spread.of(running_s), first_step=Spread.of(step_s))

    def warm_ups_s(self) -> list[float]:
        """The duration of each warm-up, from the worker's log."""
        return [float(found) for found in WARM_LINE.findall(self._log.read_text())]

    def memory_mb(self) -> tuple[float, float]:
        """Unique and resident memory of the warm run."""
        wait_until(self._is_warm, PATIENCE_S, "a run is warm")
        (idle,) = self._service.runs()
        memory = idle.memory_full_info()
        return round(memory.uss / 2**20, 1), round(memory.rss / 2**20, 1)

    def _is_warm(self) -> bool:
        log = self._log.read_text()
        return log.rfind("a run is warm") > log.rfind(": started ")


def main() -> None:
    """Measure, print the times and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--cold-jobs", type=int, default=5)
    given = parser.parse_args()
    hardware, load = this_hardware(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Service(folder / "warm", **DEFAULTS) as service:
            harness = WorkerHarness(service, folder)
            warm = harness.measure(given.jobs, ready=True)
            in_a_row = harness.measure(given.cold_jobs, ready=False)
            unique_mb, resident_mb = harness.memory_mb()
            warm_ups_s = harness.warm_ups_s()
        with Service(folder / "cold", **DEFAULTS, KD_WARM="false") as service:
            cold = WorkerHarness(service, folder).measure(given.cold_jobs, ready=False)
    made = StartUp(
        date=datetime.now(UTC).date(),
        hardware=hardware,
        job="resnet20 teaches resnet8 (width 0.25) on 500 of 4,000 digits, batch 32",
        load_before=round(load, 2),
        warm=warm,
        in_a_row=in_a_row,
        cold=cold,
        warm_up=Spread.of(warm_ups_s),
        idle_unique_mb=unique_mb,
        idle_resident_mb=resident_mb,
    )
    for name, case in (("warm", warm), ("in a row", in_a_row), ("cold", cold)):
        for what, spread in (("running", case.running), ("first step", case.first_step)):
            print(f"{name:8} {what:10} p50 {spread.p50_s:.3f} s, max {spread.max_s:.3f} s")
    print(f"warm-up {made.warm_up.p50_s} s; idle {unique_mb} MB unique, {resident_mb} MB resident")
    print(write(made))


if __name__ == "__main__":
    main()

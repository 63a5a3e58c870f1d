"""Measures MLflow's tracking server on SQLite, with runs in place of our jobs."""

import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench.service.load import CLIENTS, ClientLoad, pollers
from bench.service.peers.venv import free_port, program, started
from bench.service.service import memory_mib, wait_until
from bench.service.wire import Answer, Latency, Wire, clocked

API = "/api/2.0/mlflow"
METRICS = ("gain", "student_accuracy", "teacher_accuracy", "baseline_accuracy")
TAGS = ("mlflow.user", "mlflow.runName")
SLOW_COUNT = 3  # requests of a kind that takes ten seconds each
PARAMS = 12  # about as many values as a job's spec has
BATCHES = 10
BATCH = 1000  # metrics per request, the maximum
Figures = tuple[dict[str, Latency], dict[str, float], ClientLoad]


class Server:
    """A client of a running server and its database."""

    def __init__(self, wire: Wire, database: Path):
        self.wire = wire
        self._database = database
        made = wire.ask("POST", f"{API}/experiments/create", {"name": "bench"})
        self.experiment = made.json()["experiment_id"]
        self._numbers = itertools.count()

    def create(self) -> Answer:
        """Create a run."""
        now = int(time.time() * 1000)
        params = {"experiment_id": self.experiment, "start_time": now, "user_id": "bench"}
        return self.wire.ask(
            "POST", f"{API}/runs/create", {**params, "run_name": f"run {next(self._numbers)}"}
        )

    def fill(self, runs: int, points: int) -> str:
        """Write runs with metrics and parameters to the server's database.

        The newest run has a metric of `points` points; returns its id.
        """
        ids = [f"{n:032x}" for n in range(runs)]
        with sqlite3.connect(self._database) as database:
            for table, rows in _tables(ids, int(self.experiment), points).items():
                first = next(rows)
                marks = ", ".join("?" * len(first))
                database.executemany(
                    f"INSERT INTO {table} VALUES ({marks})", itertools.chain([first], rows)
                )
        return ids[-1]

    def search(self, **how: Any) -> Answer:
        """Get a page of a hundred runs."""
        asked = {"experiment_ids": [self.experiment], "max_results": 100, **how}
        return self.wire.ask("POST", f"{API}/runs/search", asked)

    def log(self, run: str, batch: int) -> Answer:
        """Log a full batch of metrics."""
        at = int(time.time() * 1000)
        steps = range(batch * BATCH, (batch + 1) * BATCH)
        metrics = [{"key": "x", "value": 1 / (1 + n), "timestamp": at, "step": n} for n in steps]
        return self.wire.ask("POST", f"{API}/runs/log-batch", {"run_id": run, "metrics": metrics})


def _tables(ids: list[str], experiment: int, points: int) -> dict[str, Iterator[tuple[Any, ...]]]:
    start_ms = 1_700_000_000_000
    values = {run: 0.6 + 0.3 * (n * 2_654_435_761 % 2**32) / 2**32 for n, run in enumerate(ids)}
    return {
        "runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,"
        " start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)": (
            (
                *(run, f"run {n}", "UNKNOWN", "", "", "bench", "FINISHED", start_ms + n),
                *(start_ms + n + 900, "", "active", f"mlflow-artifacts:/{run}", experiment),
            )
            for n, run in enumerate(ids)
        ),
        "latest_metrics (key, run_uuid, value, timestamp, step, is_nan)": (
            (key, run, values[run], start_ms, 0, 0) for run in ids for key in METRICS
        ),
        "params (key, run_uuid, value)": (
            (f"param_{n}", run, "0.1") for run in ids for n in range(PARAMS)
        ),
        "tags (key, run_uuid, value)": ((key, run, "bench") for run in ids for key in TAGS),
        "metrics (key, value, timestamp, run_uuid, step, is_nan)": (
            ("loss", 1 / (1 + n), start_ms + n, ids[-1], n, 0) for n in range(points)
        ),
    }


def measure(runs: int, points: int, count: int) -> Figures:
    """Measure requests, memory and rates, and 200 polling clients."""
    with tempfile.TemporaryDirectory(prefix="kd-bench-mlflow-") as name:
        folder = Path(name)
        port = free_port()
        command = [program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{folder}/m.db"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        with started(command, folder) as process:
            wire = Wire(f"http://127.0.0.1:{port}")
            wait_until(lambda: _answers(port), 120, "MLflow answers", 0.5)
            time.sleep(20)  # its workers start after it first answers
            rest = {"memory at rest, MiB": memory_mib(process)}
            server = Server(wire, folder / "m.db")
            newest = server.fill(runs, points)
            requests = _requests(server, newest, count)
            begun_s = time.perf_counter()
            for batch in range(BATCHES):
                server.log(newest, batch)
            took_s = time.perf_counter() - begun_s
            rest["metric points a second"] = round(BATCHES * BATCH / took_s)
            ids = [f"{n:032x}" for n in range(runs - CLIENTS, runs)]
            polls = [("GET", f"{API}/runs/get?run_id={run}", b"") for run in ids]
            return requests, rest, pollers(wire, process, polls)


def _requests(server: Server, newest: str, count: int) -> dict[str, Latency]:
    history = f"{API}/metrics/get-history?run_id={newest}&metric_key=loss"
    get = server.wire.get
    asks: dict[str, Callable[[], Answer]] = {
        "create": server.create,
        "list 100": server.search,
        "show": partial(get, f"{API}/runs/get?run_id={newest}"),
        "metric history, every point": partial(get, history),
    }
    found = {name: clocked(ask, count) for name, ask in asks.items()}
    best = partial(server.search, order_by=["metrics.gain DESC"])
    return found | {"list 100 ordered by a metric": clocked(best, SLOW_COUNT)}


def _answers(port: int) -> bool:
    try:
        Wire(f"http://127.0.0.1:{port}").get("/health")
    except (OSError, AssertionError):
        return False
    return True

"""Measures plain Celery with a Redis-protocol broker: the time of a task that does nothing."""

import sys
import tempfile
import time
from pathlib import Path

from celery import Celery

from bench.servers import valkey
from bench.service.peers.venv import ROOT, started
from bench.service.service import memory_mib
from bench.service.wire import Latency, latency

COUNT = 300
TASK = "bench.service.peers.noop.noop"


def measure() -> tuple[dict[str, Latency], dict[str, float]]:
    """Measure the time from sending to the result, and the memory of an idle worker."""
    with valkey() as url, tempfile.TemporaryDirectory(prefix="kd-bench-celery-") as name:
        command = [sys.executable, "-m", "celery", "-A", "bench.service.peers.noop", "worker"]
        command += ["--concurrency=1", "--loglevel=WARNING"]
        where = {"REDIS": url, "PYTHONPATH": str(ROOT)}
        with started(command, Path(name), where) as process:
            app = Celery("noop", broker=url, backend=url)
            app.send_task(TASK).get(timeout=60)
            memory = memory_mib(process)
            times_ms = []
            for _ in range(COUNT):
                begun_s = time.perf_counter()
                app.send_task(TASK).get(timeout=60, interval=0.001)
                times_ms.append((time.perf_counter() - begun_s) * 1e3)
            app.close()
    return {"a no-op, sent until its result": latency(times_ms)}, {"memory at rest, MiB": memory}

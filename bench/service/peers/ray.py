"""Measures Ray Jobs, with jobs that only sleep."""

import tempfile
import time
from functools import partial
from pathlib import Path

from bench.service.peers.venv import free_port, program, started
from bench.service.service import memory_mib, wait_until
from bench.service.wire import Latency, Wire, clocked, latency

JOBS = "/api/jobs/"
STORE_BYTES = 100_000_000
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")


def measure(repeats: int) -> tuple[dict[str, Latency], dict[str, float]]:
    """Measure creating, starting and listing jobs, and memory at rest."""
    with tempfile.TemporaryDirectory(prefix="kd-ray-") as name:  # short, because it holds sockets
        folder = Path(name)
        port = free_port()
        command = [program("ray"), "start", "--head", "--block", f"--dashboard-port={port}"]
        command += [f"--port={free_port()}", f"--object-store-memory={STORE_BYTES}"]
        command += ["--num-cpus=2", f"--temp-dir={folder}", "--include-dashboard=true"]
        with started(command, folder, {"RAY_ADDRESS": ""}) as process:
            wait_until(lambda: _answers(port), 120, "Ray answers", 0.5)
            time.sleep(10)
            wire = Wire(f"http://127.0.0.1:{port}")
            rest = {"memory at rest, MiB": memory_mib(process)}
            return _requests(wire, repeats), rest


def _requests(wire: Wire, repeats: int) -> dict[str, Latency]:
    created_ms: list[float] = []
    running_ms: list[float] = []
    for _ in range(repeats + 1):  # the first is not counted
        begun_s = time.perf_counter()
        made = wire.ask("POST", JOBS, {"entrypoint": "sleep 60"}).json()
        created_ms.append((time.perf_counter() - begun_s) * 1e3)
        path = f"{JOBS}{made['submission_id']}"
        wait_until(partial(_is, wire, path, "RUNNING"), 60, "a job runs", 0.004)
        running_ms.append((time.perf_counter() - begun_s) * 1e3)
        wire.ask("POST", f"{path}/stop")
        wait_until(partial(_is, wire, path, *ENDED), 60, "a job has stopped")
    listed = clocked(lambda: wire.get(JOBS), 50)
    return {
        "create": latency(created_ms[1:]),
        "submit until running": latency(running_ms[1:]),
        f"list all {repeats + 1}": listed,
    }


def _is(wire: Wire, path: str, *statuses: str) -> bool:
    return wire.get(path).json()["status"] in statuses


def _answers(port: int) -> bool:
    try:
        Wire(f"http://127.0.0.1:{port}").get(JOBS)
    except (OSError, AssertionError):
        return False
    return True

"""The peers' virtual environment, created when first needed; nothing is imported from it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".bench" / "peers"
WANTED = ROOT / "bench" / "peers.txt"
# Otherwise they would send telemetry.
QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "RAY_USAGE_STATS_ENABLED": "0"}


def program(name: str) -> str:
    """The path of a peer's program; installs all peers first if needed (over a gigabyte)."""
    stamp = FOLDER / "installed.txt"
    if not stamp.exists() or stamp.read_text() != WANTED.read_text():
        print(f"installing {WANTED.name} into {FOLDER.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--disable-pip-version-check", "-r", str(WANTED)], check=True)
        stamp.write_text(WANTED.read_text())
    return str(FOLDER / "bin" / name)


def versions() -> dict[str, str]:
    """The pinned version of each peer."""
    lines = WANTED.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {name.partition("[")[0]: version for name, version in pairs}


def free_port() -> int:
    """Find an unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[psutil.Process]:
    """Run a program that logs to `folder`/log; kills it and its descendants afterwards."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **QUIET, **(environment or {})},
            start_new_session=True,
        )
    family = psutil.Process(process.pid)
    try:
        yield family
    finally:
        descendants = family.children(recursive=True) if process.poll() is None else []
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for one in descendants:
            if one.is_running():
                one.kill()

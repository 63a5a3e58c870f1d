"""Describes the machine of a measurement and names its result file; does not import torch."""

import os
import platform
import re
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).parent / "results"
GIB = 2**30
FSYNCS = 50


class Machine(BaseModel):
    """The machine of a measurement, without its host name.

    `load`: the load average over one minute when the measurement began, caused by other work.
    `fsync_ms`: the median time to flush a page to disk, a lower bound for a durable commit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    memory_gib: int
    kernel: str
    python: str
    load: float
    fsync_ms: float


def this_machine() -> Machine:
    """Describe the machine of this process."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        memory_gib=round(memory / GIB),
        kernel=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 1),
        fsync_ms=_fsync_ms(),
    )


def sentence(machine: Machine) -> str:
    """Describe the machine in a line of text."""
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.kernel}, "
        f"Python {machine.python}; at the start load {machine.load}, fsync {machine.fsync_ms} ms"
    )


def today() -> date:
    """Today's date in UTC."""
    return datetime.now(UTC).date()


def result_file(kind: str, machine: Machine, suffix: str, folder: Path = RESULTS) -> Path:
    """The path of today's result file, named after the kind, the hardware and the date."""
    cpu = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}_{cpu}_{machine.cores}-cores_{today()}.{suffix}"


def _fsync_ms() -> float:
    times_ms = []
    with tempfile.TemporaryFile() as file:
        for _ in range(FSYNCS):
            file.write(bytes(4096))
            file.flush()
            begun_s = time.perf_counter()
            os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - begun_s) * 1e3)
    return round(median(times_ms), 2)


def _cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    text = listing.read_text(encoding="utf-8") if listing.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()

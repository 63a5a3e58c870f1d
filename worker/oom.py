"""Counts the processes that the kernel killed because memory ran out."""

from pathlib import Path

COUNTERS = Path("/proc/vmstat")
NAME = "oom_kill"


def oom_kills(counters: Path = COUNTERS) -> int:
    """OOM kills since the machine started, in containers too; 0 where they are not counted."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.split()[:1] == [NAME])

"""Many worker and reaper processes whose runs are stand-ins.

`python -m tests.faults.standin_worker [jobs N] [reaper N]`. The processes are forked after the
imports, which makes them cheap, and die with this one.
"""

import logging
import os
import signal
import sys
from pathlib import Path

from distillery.broker.config import BrokerSettings
from distillery.launcher import die_with_parent
from distillery.store.config import StoreSettings
from distillery.worker.__main__ import run_jobs, run_reaper
from distillery.worker.config import WorkerSettings

STANDIN = (sys.executable, "-P", "-S", str(Path(__file__).with_name("standin.py")))


def work(program: str) -> int:
    """Run one worker or one reaper; returns its exit code."""
    settings, store, broker = WorkerSettings(), StoreSettings(), BrokerSettings()
    if program == "reaper":
        return run_reaper(settings, store, broker)
    return run_jobs(settings, store, broker, STANDIN)


def run_all(programs: list[str]) -> int:
    """Run all programs concurrently until SIGTERM; returns the highest exit code."""
    pids = [_fork(program) for program in programs]

    def forward(number: int, _: object) -> None:
        for pid in pids:
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, forward)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return max(abs(code) for code in codes)


def _fork(program: str) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent, signal.SIGKILL)
        os._exit(work(program))
    return pid


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(process)d %(asctime)s %(name)s: %(message)s")
    words = sys.argv[1:] or ["jobs", "1"]
    programs = [p for p, n in zip(words[::2], words[1::2], strict=True) for _ in range(int(n))]
    sys.exit(work(programs[0]) if len(programs) == 1 else run_all(programs))

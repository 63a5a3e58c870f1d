"""The worker's programs many times over, their runs stand-ins:
`python -m tests.faults.standin_worker [jobs N] [reaper N]`. A process each, forked once all is
imported, which makes a crowd cheap; each dies with this one."""

import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

from distillery.broker.config import BrokerSettings
from distillery.store.config import StoreSettings
from distillery.worker.__main__ import run_jobs, run_reaper
from distillery.worker.config import WorkerSettings

STANDIN = (sys.executable, "-P", "-S", str(Path(__file__).with_name("standin.py")))
PR_SET_PDEATHSIG = 1


def work(program: str) -> int:
    """One worker or one reaper."""
    settings, stored, notifier = WorkerSettings(), StoreSettings(), BrokerSettings()
    if program == "reaper":
        return run_reaper(settings, stored, notifier)
    return run_jobs(settings, stored, notifier, STANDIN)


def crowd(programs: list[str]) -> int:
    """All of them at once, until this process is told to stop."""
    pids = [_fork(program) for program in programs]

    def pass_on(number: int, _: object) -> None:
        for pid in pids:
            os.kill(pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return max(abs(code) for code in codes)


def _fork(program: str) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os._exit(work(program) if os.getppid() == parent else 1)
    return pid


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(process)d %(asctime)s %(name)s: %(message)s")
    told = sys.argv[1:] or ["jobs", "1"]
    asked = [p for p, n in zip(told[::2], told[1::2], strict=True) for _ in range(int(n))]
    sys.exit(work(asked[0]) if len(asked) == 1 else crowd(asked))

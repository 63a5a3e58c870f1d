"""A service whose programs can be killed, frozen and restarted with other settings."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

from distillery.local.process import ChildProcess
from tests.contracts.trees import ROOT
from tests.e2e.service import PROGRAMS, QUICK, Service, wait_until

# Short, but long enough for a loaded machine: a worker stops its run after half a lease.
FAST = {"KD_LEASE_S": "8", "KD_HEARTBEAT_S": "1", "KD_GRACE_S": "10", "KD_STALL_S": "60"}
STANDIN_PROGRAMS = {
    "api": ["distillery.api"],
    "jobs": ["tests.faults.standin_worker"],
    "reaper": ["distillery.worker", "reaper"],
}


class FaultyService(Service):
    """API, worker and reaper processes, and additional ones under other names."""

    def __init__(self, home: Path, *, standin: bool = False, **settings: str):
        # Stand-ins are programs of these tests, which are not installed.
        super().__init__(home, **{"PYTHONPATH": str(ROOT), **FAST, **settings})
        self._settings = {**QUICK, **FAST, **settings}
        self._standin = standin
        if standin:
            self._children["jobs"] = self._child("jobs", "jobs", {})
        self._plain = dict(self._children)  # those with the common settings

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the programs."""
        return dict(self._environment)

    @property
    def settings(self) -> dict[str, str]:
        """The KD_* settings of the programs."""
        return dict(self._settings)

    def _child(
        self, name: str, program: str, settings: dict[str, str], arguments: Sequence[str] = ()
    ) -> ChildProcess:
        programs = STANDIN_PROGRAMS if self._standin else PROGRAMS
        command = ["-m", *programs[program], *arguments]
        environment = self._environment | settings
        return ChildProcess(name, command, self.home / f"{name}.log", environment=environment)

    def start_as(self, name: str, program: str, *arguments: str, **settings: str) -> None:
        """Start one of api, jobs, reaper as `name`, with additional settings."""
        assert name not in self._children or self._children[name].poll() is not None, name
        child = self._child(name, program, settings, arguments)
        self._children[name] = child
        if name in PROGRAMS and not settings:
            self._plain[name] = child
        child.start()

    def restart(self, name: str, **settings: str) -> None:
        """SIGKILL one of api, jobs, reaper and start it again, with additional settings."""
        self.kill(name)
        self.start_as(name, name, **settings)
        if name == "api":
            wait_until(self._ready, 60, "the API is ready again")

    def names(self) -> list[str]:
        """The names of all programs ever started."""
        return list(self._children)

    def poll(self, name: str) -> int | None:
        """A program's exit code, or None while it runs."""
        return self._children[name].poll()

    def terminate(self, name: str) -> None:
        """Send SIGTERM."""
        self._children[name].terminate()

    def wait(self, name: str, within_s: float) -> int:
        """Wait for a program's exit code. Raises subprocess.TimeoutExpired."""
        return self._children[name].wait(within_s)

    def restore(self) -> None:
        """Return to the three programs of the start: kill additional programs, and restart those
        that have other settings, are frozen or have exited."""
        for name in [name for name in self._children if name not in PROGRAMS]:
            self.kill(name)
            del self._children[name]
        for name in PROGRAMS:
            child = self._children[name]
            plain = self._plain.get(name) is child
            if child.poll() is not None or not plain or _frozen(self.process(name)):
                child.kill()
                self.start_as(name, name)
        wait_until(self._ready, 60, "the service is ready again")

    def runs(self) -> list[psutil.Process]:
        """The runs of the worker, stand-ins included."""
        if not self._standin:
            return super().runs()
        children = self.process("jobs").children(recursive=True)
        return [child for child in children if _is_standin(child)]

    def _stop(self) -> None:
        for child in self._children.values():
            if child.poll() is None and _frozen(psutil.Process(child.pid)):
                child.kill()  # it would not receive SIGTERM
        super()._stop()

    def tree(self, name: str) -> list[psutil.Process]:
        """A program and all its descendants."""
        process = self.process(name)
        return [process, *process.children(recursive=True)]

    def freeze(self, name: str) -> list[psutil.Process]:
        """SIGSTOP a program and all its descendants; returns their processes."""
        processes = self.tree(name)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        return processes


def _is_standin(process: psutil.Process) -> bool:
    try:
        return any(word.endswith("standin.py") for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _frozen(process: psutil.Process) -> bool:
    return process.status() == psutil.STATUS_STOPPED

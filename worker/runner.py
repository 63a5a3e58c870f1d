"""One run as a process: started in its box, or waiting in it for its turn; watched, interrupted,
killed with all its group."""

import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from distillery.worker import sandbox
from kdcore.spec.run import LOG_FILE, READY

Command = tuple[str, ...]
# -P: nothing is imported from the working directory, where a user's files lie.
KDCORE: Command = (sys.executable, "-P", "-m", "kdcore")
HERE = "."  # a run's directory is its working directory, wherever that is moved before it begins
TEMPORARY = "tmp"
POLL_S = 0.05


def _packages() -> str:
    """The directory that holds kdcore, for a checkout that is not installed."""
    found = importlib.util.find_spec("kdcore")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent.parent)


class Run:
    """A started run. It dies with the *thread* that started it, which therefore must see it out."""

    def __init__(self, directory: Path, command: Command, environment: dict[str, str]):
        self._process = _start(directory, [*command, "run", HERE], environment)
        self.started_s = time.monotonic()

    @property
    def pid(self) -> int:
        """The process id, which is the group's id too."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (negative: the signal that killed it) once it has ended.

        Whatever else is left of its group is killed before the number of the group is given back:
        nothing may write into the run directory after this.
        """
        if self._process.returncode is None:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT  # it stays a zombie, its id its own
            if os.waitid(os.P_PID, self.pid, flags) is None:
                return None
            os.killpg(self.pid, signal.SIGKILL)  # a zombie is still a member: the group exists
        return self._process.wait()

    def wait(self, seconds: float) -> int | None:
        """As `poll`, but gives it so long."""
        deadline_s = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return code

    def interrupt(self) -> None:
        """Ask it to checkpoint and end."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all its group, and see it gone."""
        if self._process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(POLL_S)


class WaitingRun(Run):
    """A run that was started before its job came: all it needs is imported, and it reads one line.

    Its working directory becomes the run directory by being moved there, so a box with one writable
    directory can stand around it from the start. Used once.
    """

    def __init__(self, directory: Path, command: Command, environment: dict[str, str]):
        pipe = subprocess.PIPE
        self._process = _start(directory, [*command, "wait"], environment, pipe, pipe)
        self.started_s = time.monotonic()
        self.is_ready = False

    def listen(self) -> bool:
        """Whether it has said since the last call that it is warm; never waits."""
        says = self._process.stdout
        assert says is not None
        if self.is_ready or says.closed or not select.select([says], [], [], 0)[0]:
            return False
        self.is_ready = says.readline() == f"{READY}\n".encode()
        return self.is_ready

    def begin(self) -> None:
        """Let it run its working directory. It may be in the middle of its warm-up: it reads the
        line when that is done. Raises BrokenPipeError when it is gone."""
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), f"{HERE}\n".encode())
        self.started_s = time.monotonic()

    def poll(self) -> int | None:
        """As in Run."""
        code = super().poll()
        if code is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
        return code


def _start(
    directory: Path,
    command: list[str],
    environment: dict[str, str],
    told: int = subprocess.DEVNULL,
    says: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in its box in `directory`; `told` and `says` are its stdin and stdout, which
    goes into the log unless told otherwise, as stderr does."""
    (directory / TEMPORARY).mkdir(exist_ok=True)
    own = {
        "PYTHONPATH": _packages(),
        "PYTHONUNBUFFERED": "1",
        "HOME": HERE,
        "TMPDIR": TEMPORARY,
    }
    with (directory / LOG_FILE).open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (our own command, no shell)
            sandbox.launcher(command),
            cwd=directory,
            env=environment | own,
            stdin=told,
            stdout=log if says is None else says,
            stderr=log,
            start_new_session=True,
        )

"""Runs kdcore as a sandboxed child process: started for a job, or started warm before one comes."""

import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from distillery.launcher import launch_command
from kdcore.spec.run import LOG_FILE, READY

Command = tuple[str, ...]
# -P: import nothing from the working directory, which holds a user's files.
KDCORE: Command = (sys.executable, "-P", "-m", "kdcore")
HERE = "."  # a run works in its own directory, even if that is moved before the run begins
TEMPORARY = "tmp"
POLL_S = 0.05


def _package_root() -> str:
    """The directory that contains kdcore, for a checkout that is not installed."""
    found = importlib.util.find_spec("kdcore")
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent.parent)


class Run:
    """A child process. The kernel kills it when the *thread* that started it ends, so that thread
    must wait for it."""

    def __init__(self, directory: Path, command: Command, environment: dict[str, str]):
        self._process = _start(directory, [*command, "run", HERE], environment)
        self.started_s = time.monotonic()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code (negative: the signal that killed it), or None while it runs.

        When the process has ended, the rest of its group is killed before its id is freed: nothing
        may write to the run directory after this.
        """
        if self._process.returncode is None:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT  # leave it a zombie, which keeps its id
            if os.waitid(os.P_PID, self.pid, flags) is None:
                return None
            os.killpg(self.pid, signal.SIGKILL)  # a zombie is still a member: the group exists
        return self._process.wait()

    def wait(self, timeout_s: float) -> int | None:
        """As `poll`, but waits up to `timeout_s` for the exit."""
        deadline_s = time.monotonic() + timeout_s
        while (code := self.poll()) is None and time.monotonic() < deadline_s:
            time.sleep(POLL_S)
        return code

    def interrupt(self) -> None:
        """Send SIGTERM: the run writes a checkpoint and exits."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and its group, and wait for the process."""
        if self._process.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(POLL_S)


class WarmRun(Run):
    """A run started before its job: it imports all it needs, then waits for a line on stdin.

    Its working directory is moved to become the run directory, so a sandbox with one writable
    directory can be set up from the start. Used once.
    """

    def __init__(self, directory: Path, command: Command, environment: dict[str, str]):
        pipe = subprocess.PIPE
        self._process = _start(directory, [*command, "warm"], environment, pipe, pipe)
        self.started_s = time.monotonic()
        self.is_ready = False

    def poll_ready(self) -> bool:
        """Whether the run has become ready since the last call. Does not block."""
        stdout = self._process.stdout
        assert stdout is not None
        if self.is_ready or stdout.closed or not select.select([stdout], [], [], 0)[0]:
            return False
        self.is_ready = stdout.readline() == f"{READY}\n".encode()
        return self.is_ready

    def begin(self) -> None:
        """Have it run the job in its working directory, as soon as it is ready. Raises
        BrokenPipeError if it has died."""
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
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` sandboxed in `directory`; stderr, and stdout by default, go to the log."""
    (directory / TEMPORARY).mkdir(exist_ok=True)
    own = {
        "PYTHONPATH": _package_root(),
        "PYTHONUNBUFFERED": "1",
        "HOME": HERE,
        "TMPDIR": TEMPORARY,
    }
    with (directory / LOG_FILE).open("ab") as log:
        return subprocess.Popen(  # noqa: S603  (our own command, no shell)
            launch_command(command, signal.SIGKILL, sandboxed=True),
            cwd=directory,
            env=environment | own,
            stdin=stdin,
            stdout=log if stdout is None else stdout,
            stderr=log,
            start_new_session=True,
        )

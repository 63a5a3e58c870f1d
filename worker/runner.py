"""One run as a process: started in its box, watched, interrupted, killed with all its group."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from kdcore.spec.run import LOG_FILE
from worker import sandbox

Command = tuple[str, ...]
# -P: nothing is imported from the working directory, where a user's files lie.
KDCORE: Command = (sys.executable, "-P", "-m", "kdcore", "run")
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
        temporary = directory / "tmp"
        temporary.mkdir(exist_ok=True)
        own = {
            "PYTHONPATH": _packages(),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(directory),
            "TMPDIR": str(temporary),
        }
        with (directory / LOG_FILE).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
                sandbox.launcher([*command, str(directory)]),
                cwd=directory,
                env=environment | own,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
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


def log_tail(directory: Path, lines: int = 12) -> str:
    """The last lines that a run wrote, printable characters only; empty when there are none."""
    path = directory / LOG_FILE
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 8192))
        text = log.read().decode(errors="replace")
    clean = "".join(c for c in text if c == "\n" or c.isprintable())
    return "\n".join(clean.strip().splitlines()[-lines:])

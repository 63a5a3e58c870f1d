"""A child process of `kd`: its own session, its own log file, gone when `kd` is gone."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LOG_LIMIT = 10_000_000  # bytes of a log and, once more, of what was put aside


class ChildProcess:
    """`python ARGS...`, started anew as often as `start` is called; output goes to `log`."""

    def __init__(
        self,
        name: str,
        args: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str],
        keep_open: Sequence[int] = (),
    ):
        self.name = name
        self.log = log
        self.started_s = 0.0
        self._args = args
        self._environment = environment
        self._keep_open = keep_open
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0

    def start(self) -> None:
        """Start it; SIGTERM reaches it when this process dies."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.bound_log()
        with self.log.open("ab") as output:
            self._read = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", "distillery.local.pdeathsig", str(os.getpid()), *self._args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for `kd`, which stops its children in order
                pass_fds=self._keep_open,
            )
        self.started_s = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process id, once started."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """The exit code, or None while it runs (or was never started)."""
        return self._process.poll() if self._process else None

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def terminate(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Stop it now, with whatever it started in its session."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def new_lines(self) -> list[str]:
        """Whole lines of output since the last call."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()

    def bound_log(self) -> None:
        """Put a log that is too long aside, in place of the one before it. The child appends, so it
        goes on at the beginning; what it says between copy and cut, in milliseconds, is lost."""
        if not self.log.exists() or self.log.stat().st_size <= LOG_LIMIT:
            return
        part = self.log.with_suffix(".part.log")
        try:
            shutil.copyfile(self.log, part)
            part.replace(self.log.with_suffix(".old.log"))
        except OSError:  # a full disk: what was said is kept where it is
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        os.truncate(self.log, 0)
        self._read = 0

    def last_lines(self, count: int) -> list[str]:
        """The last lines of output."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 20_000))
            return file.read().decode(errors="replace").splitlines()[-count:]

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

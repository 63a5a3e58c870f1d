"""A child process of `kd`, with its own session and log file, that does not outlive `kd`."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from distillery.launcher import launch_command
from kdcore.spec.tail import last_lines, read_lines

LOG_LIMIT_BYTES = 10_000_000  # of the current log; the rotated one may have as much


class ChildProcess:
    """Runs `python ARGS...`; each call of `start` runs it again. Output is appended to `log`."""

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
        self._offset = 0  # of the first log line that was not read

    def start(self) -> None:
        """Start the process. It receives SIGTERM when this process dies, even from SIGKILL."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.rotate_log()
        with self.log.open("ab") as output:
            self._offset = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own modules
                launch_command([sys.executable, *self._args], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches only `kd`, which stops its children
                pass_fds=self._keep_open,
            )
        self.started_s = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process id, or None before the first start."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """The exit code, or None if the process is running or was never started."""
        return self._process.poll() if self._process else None

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the process and return its exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the process and its whole group, and wait for the process."""
        if self._process and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def new_lines(self) -> list[str]:
        """Return the complete log lines written since the last call."""
        found: list[bytes] = []
        is_full = self.log.exists()
        while is_full:
            with self.log.open("rb") as file:
                lines, self._offset, is_full = read_lines(file, self._offset)
            found += lines
        return [line.decode(errors="replace") for line in found]

    def rotate_log(self) -> None:
        """Move a log over LOG_LIMIT_BYTES to `NAME.old.log`, by copying and truncating.

        The child has the file open for appending and continues at its new beginning. Output
        written between the copy and the truncation, within milliseconds, is lost.
        """
        if not self.log.exists() or self.log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        part = self.log.with_suffix(".part.log")
        try:
            shutil.copyfile(self.log, part)
            part.replace(self.log.with_suffix(".old.log"))
        except OSError:  # the disk is full: keep the log as it is
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        os.truncate(self.log, 0)
        self._offset = 0

    def last_lines(self, count: int) -> list[str]:
        """Return the last lines of the log."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            return last_lines(file, count)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

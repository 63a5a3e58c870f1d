"""The run's box, level 1: own session, dies with its worker, no new privileges, a bare environment.

Executed by path as a tiny launcher between the worker and the run, so it imports the standard
library alone. Between fork and exec no Python may run in a threaded process (`preexec_fn` can
deadlock), hence the launcher: it sets itself up, then becomes the run by exec.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 4096
ORPHANED = 143  # what a shell reports of a process ended by SIGTERM


def launcher(command: list[str]) -> list[str]:
    """The command line that starts `command` inside the box; to be started by this process."""
    # -I -S: nothing from the environment, the working directory or site-packages is imported.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def enter(worker_pid: int) -> None:
    """Set this process up. Exits when the worker has died already."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for option, value in ((PR_SET_PDEATHSIG, int(signal.SIGKILL)), (PR_SET_NO_NEW_PRIVS, 1)):
            if prctl(option, value, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
    # The signal is not sent for a death that came before the call.
    if os.getppid() != worker_pid:
        sys.exit(ORPHANED)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    os.umask(0o077)


if __name__ == "__main__":
    enter(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606  (the worker chose the command)

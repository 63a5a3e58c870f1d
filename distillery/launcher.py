"""Starts a child process that is signalled when its parent dies, inside a sandbox if asked.

Runs by path as a small program between the parent and the child, so it imports the standard
library alone. A threaded process must not run Python between fork and exec (`preexec_fn` can
deadlock), hence a program: it sets itself up and then becomes the child by exec.
"""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 4096
ORPHANED = 143  # what a shell reports for a process ended by SIGTERM


def launch_command(
    command: Sequence[str], on_parent_death: signal.Signals, *, sandboxed: bool = False
) -> list[str]:
    """The command line that starts `command` as a child of this process.

    The child receives `on_parent_death` when the *thread* that started it ends. `sandboxed`: no new
    privileges, no core dumps, few open files, private new files. Pass `start_new_session=True` to
    Popen for a session of its own.
    """
    # -I -S: nothing from the environment, the working directory or site-packages is imported.
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
    return [*launcher, str(int(on_parent_death)), str(int(sandboxed)), *command]


def die_with_parent(parent_pid: int, number: int) -> None:
    """Have the kernel send signal `number` when the parent dies; exit if it is dead already."""
    _prctl(PR_SET_PDEATHSIG, number)
    # The kernel sends nothing for a death that came before the call.
    if os.getppid() != parent_pid:
        sys.exit(ORPHANED)


def enter_sandbox() -> None:
    """Give up privileges that a run of untrusted files does not need."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    os.umask(0o077)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        if prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    if sys.argv[3] == "1":
        enter_sandbox()
    os.execv(sys.argv[4], sys.argv[4:])  # noqa: S606  (the parent chose the command)

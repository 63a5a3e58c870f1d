"""What can go wrong for a client, each with the exit code `kd` ends with."""

from enum import IntEnum

from distillery.wire.common import Problem


class ExitCode(IntEnum):
    """How `kd` ends."""

    OK = 0
    FAILED = 1  # the job failed or was cancelled, or the service refused the request
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    INTERRUPTED = 130


class ClientError(Exception):
    """Something a person must be told; `hint` says what to do about it."""

    exit = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageMistake(ClientError):
    """What was asked for makes no sense as it stands."""

    exit = ExitCode.USAGE


class Unreachable(ClientError):
    """No answer from the service after several tries, or not from this service."""

    exit = ExitCode.UNREACHABLE


class Corrupt(ClientError):
    """Bytes do not have the sha256 they should have."""


class ApiError(ClientError):
    """The service refused; `problem` is its whole answer."""

    def __init__(self, problem: Problem):
        super().__init__(_sentence(problem), hint=problem.next_step)
        self.problem = problem
        if problem.status in (401, 403):
            self.exit = ExitCode.DENIED


def _sentence(problem: Problem) -> str:
    said = problem.detail or problem.title
    lines = [
        f"  {e.pointer}: {e.message}" if e.pointer else f"  {e.message}" for e in problem.errors
    ]
    if len(lines) == 1 and problem.errors[0].message == said:
        return lines[0].strip()
    return "\n".join([said, *lines])

"""What can go wrong for a client, each with the exit code `kd` ends with."""

from enum import IntEnum
from typing import TYPE_CHECKING, Self

from distillery.wire.common import Failure, Problem
from kdcore.spec.distribution import NAME

if TYPE_CHECKING:
    from distillery.sdk.job import Job

INSTALL_NOTEBOOK = f"Install it: pip install '{NAME}[notebook]'"


class ExitCode(IntEnum):
    """How `kd` ends."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A member that is the exit code's number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OK = 0, "success"
    FAILED = 1, "the job failed or was cancelled, or the service refused the request"
    USAGE = 2, "wrong usage, or a spec that is not valid"
    UNREACHABLE = 3, "the service cannot be reached"
    DENIED = 4, "not allowed (key or scope)"
    INTERRUPTED = 130, "interrupted"


class ClientError(Exception):
    """Base of all errors of the SDK: a `message` for people and, as `hint`, what to do about it."""

    exit = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageMistake(ClientError):
    """The call itself makes no sense; nothing was sent."""

    exit = ExitCode.USAGE


class Unreachable(ClientError):
    """No answer after several tries, or none of a Distillery service."""

    exit = ExitCode.UNREACHABLE


class Corrupt(ClientError):
    """Bytes do not have the sha256 they should have."""


class Rejected(ClientError):
    """An uploaded model or dataset was inspected and cannot be used; `error` says why."""

    def __init__(self, noun: str, name: str, error: Failure | None):
        reason = f"{error.message} ({error.code})" if error else "no reason was given"
        super().__init__(
            f"The {noun} {name!r} was rejected: {reason}", hint=error.next_step if error else None
        )
        self.error = error


class JobFailed(ClientError):
    """The job that was waited for failed or was cancelled; `job` has its `state` and `error`."""

    def __init__(self, job: "Job"):
        message, hint = f"{job.id} is {job.state}.", None
        if job.error is not None:
            where = f" at {job.error.pointer}" if job.error.pointer else ""
            message = f"{job.id} failed ({job.error.code}{where}): {job.error.message}"
            hint = job.error.next_step
        super().__init__(message, hint=hint)
        self.job = job


class ApiError(ClientError):
    """The service refused the request; `problem` is its whole answer (RFC 9457)."""

    def __init__(self, problem: Problem):
        super().__init__(_sentence(problem), hint=problem.next_step)
        self.problem = problem
        if problem.status in (401, 403):
            self.exit = ExitCode.DENIED

    @property
    def code(self) -> str:
        """The stable code of the problem, as `not_found`."""
        return self.problem.code

    @property
    def pointers(self) -> list[str]:
        """A JSON pointer into the request for each mistake in it."""
        return [error.pointer for error in self.problem.errors if error.pointer]


def _sentence(problem: Problem) -> str:
    places = [f"{e.pointer}: {e.message}" if e.pointer else e.message for e in problem.errors]
    if len(places) > 1:
        return "\n  ".join([f"{len(places)} things in the request are wrong:", *places])
    return places[0] if places else problem.detail or problem.title

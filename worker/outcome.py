"""Decides how an attempt ends: from the run's exit code, its last event and why it was stopped."""

import signal
from dataclasses import dataclass
from typing import Literal

from distillery.store.catalog.teacher_outputs import NewOutput
from distillery.store.jobs import NewArtifact
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State
from kdcore.spec.codes import ErrorCode, Exit, RunCode
from kdcore.spec.events import EndEvent
from kdcore.spec.result import RunResult

# Why the worker stopped the run. stop: the worker itself is stopping. fence: the lease was about to
# lapse. lost: another attempt owns the job.
StopReason = Literal[
    "cancel", "pause", "stop", "fence", "lost", "wall_clock", "stalled", "output_limit"
]

NOT_RETRIED = frozenset({Exit.BAD_SPEC, Exit.BAD_INPUT, Exit.DIVERGED})  # would fail again
# In the log of a run whose memory ran out too early or too suddenly for an event to be written.
OUT_OF_MEMORY = ("bad_alloc", "allocate memory", "memoryerror", "failed to map segment")
# Exit codes that name a failure by themselves, for a run that could not write its last event.
FAILURES = {
    Exit.NO_SPACE: (RunCode.NO_SPACE, "the disk of the run directory is full"),
    Exit.OUT_OF_MEMORY: (RunCode.OUT_OF_MEMORY, "the run ran out of memory"),
}
Target = Literal[State.CANCELLED, State.PAUSED, State.QUEUED]
TARGETS: dict[StopReason | None, tuple[Target, str]] = {
    "cancel": (State.CANCELLED, "cancelled on request"),
    "pause": (State.PAUSED, "paused on request"),
    "stop": (State.QUEUED, "the worker was stopped; the run resumes from its checkpoint"),
    "fence": (State.QUEUED, "the worker could not reach the database; the run resumes elsewhere"),
}


@dataclass(frozen=True)
class Success:
    """The run succeeded and its files are in storage."""

    result: RunResult
    artifacts: tuple[NewArtifact, ...]
    outputs: tuple[NewOutput, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The attempt failed; with `retry` the job may have another one after a backoff."""

    code: ErrorCode
    message: str
    pointer: str | None = None
    retry: bool = False


@dataclass(frozen=True)
class Release:
    """The attempt was stopped from outside; it does not count as a failure."""

    target: Target
    message: str


Outcome = Success | Failure | Release


def read_outcome(
    code: int,
    end: EndEvent | None,
    stop_reason: StopReason | None,
    tail: str,
    memory_ran_out: bool = False,
) -> Failure | Release:
    """The outcome of a run that exited with a `code` other than OK (negative: the signal that
    killed it). `tail`: the end of its log. `memory_ran_out`: the kernel killed a process meanwhile.
    """
    if code in NOT_RETRIED:
        return _from_end_event(code, end, retry=False)
    if stop_reason in TARGETS:
        return Release(*TARGETS[stop_reason])
    if stop_reason == "wall_clock":
        return Failure(JobCode.WALL_CLOCK, "the run took longer than limits.wall_clock_s")
    if stop_reason == "output_limit":
        message = "the run was killed because it wrote more than KD_RUN_OUTPUT_BYTES"
        return Failure(JobCode.TOO_MUCH_OUTPUT, _with_log(message, tail))
    if stop_reason == "stalled":
        message = "the run was killed because it wrote no event for KD_STALL_S seconds"
        return Failure(JobCode.STALLED, _with_log(message, tail), retry=True)
    if code == -signal.SIGKILL and memory_ran_out:
        message = "the kernel killed the run (SIGKILL) when the machine ran out of memory"
        return Failure(RunCode.OUT_OF_MEMORY, _with_log(message, tail), retry=True)
    if end is not None and code in (Exit.OUT_OF_MEMORY, Exit.NO_SPACE, Exit.INTERRUPTED):
        return _from_end_event(code, end, retry=True)
    if code in FAILURES:
        failure, message = FAILURES[Exit(code)]
        return Failure(failure, _with_log(message, tail), retry=True)
    if any(words in tail.lower() for words in OUT_OF_MEMORY):
        message = "the run ended when it could allocate no more memory"
        return Failure(RunCode.OUT_OF_MEMORY, _with_log(message, tail), retry=True)
    if code < 0:
        return Failure(JobCode.KILLED, _with_log(describe_signal(-code), tail), retry=True)
    name = Exit(code).name if code in set(Exit) else "an unknown code"
    return Failure(RunCode.BUG, _with_log(f"the run exited with {code} ({name})", tail), retry=True)


def describe_signal(number: int) -> str:
    """How a signal ended the run, with its usual cause."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    hints = {
        signal.SIGKILL: "the run was killed (SIGKILL), perhaps because memory ran out",
        signal.SIGSEGV: "the run crashed (SIGSEGV: invalid memory access)",
        signal.SIGBUS: "the run crashed (SIGBUS), perhaps because a disk is full",
        signal.SIGILL: "the run crashed (SIGILL): this CPU lacks an instruction that was used",
    }
    return hints.get(number, f"the run was killed by {name}")  # type: ignore[call-overload, no-any-return]


def _from_end_event(code: int, end: EndEvent | None, *, retry: bool) -> Failure:
    if end is None or end.code == "ok":
        message = f"the run exited with {code} ({Exit(code).name}) and gave no reason"
        return Failure(RunCode.BUG, message, retry=retry)
    return Failure(end.code, end.message, end.pointer, retry)


def _with_log(message: str, tail: str) -> str:
    return f"{message}\n{tail}" if tail else message

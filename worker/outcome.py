"""How an attempt ends: from a run's exit code, what it said last and what was asked of it, to the
move of its job."""

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

# Why the worker ended the run itself.
StopReason = Literal["cancel", "pause", "stop", "fence", "lost", "wall_clock", "stalled", "flood"]

FINAL = frozenset({Exit.BAD_SPEC, Exit.BAD_INPUT, Exit.DIVERGED})  # as bad the next time
# Last words where memory ran out too early or too suddenly for the run to say so itself.
MEMORY = ("bad_alloc", "allocate memory", "memoryerror", "failed to map segment")
# Exit codes that name the end where the run could not write its last event.
UNSAID = {
    Exit.NO_SPACE: (RunCode.NO_SPACE, "the disk of the run directory is full"),
    Exit.OUT_OF_MEMORY: (RunCode.OUT_OF_MEMORY, "the run had no more memory"),
}
Target = Literal[State.CANCELLED, State.PAUSED, State.QUEUED]
TARGETS: dict[StopReason | None, tuple[Target, str]] = {
    "cancel": (State.CANCELLED, "cancelled on request"),
    "pause": (State.PAUSED, "paused on request"),
    "stop": (State.QUEUED, "the worker was stopped; the run goes on from its checkpoint"),
    "fence": (State.QUEUED, "the worker could not reach the database; the run goes on elsewhere"),
}


@dataclass(frozen=True)
class Success:
    """The run did what it was asked to, and its files are in storage."""

    result: RunResult
    artifacts: tuple[NewArtifact, ...]
    outputs: tuple[NewOutput, ...] = ()


@dataclass(frozen=True)
class Failure:
    """The attempt failed; with `retry` another may be made after a pause."""

    code: ErrorCode
    message: str
    pointer: str | None = None
    retry: bool = False


@dataclass(frozen=True)
class Release:
    """The attempt was ended from outside, which is nobody's failure."""

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
    """The ending of a run that exited with another `code` than OK (negative: a signal that killed
    it). `tail`: of its log; `memory_ran_out`: the kernel killed something while it ran."""
    if code in FINAL:
        return _told(code, end, retry=False)
    if stop_reason in TARGETS:
        return Release(*TARGETS[stop_reason])
    if stop_reason == "wall_clock":
        return Failure(JobCode.WALL_CLOCK, "the run took longer than limits.wall_clock_s")
    if stop_reason == "flood":
        message = "the run was stopped, for it wrote far more than KD_RUN_OUTPUT_BYTES allows"
        return Failure(JobCode.TOO_MUCH_OUTPUT, _with_log(message, tail))
    if stop_reason == "stalled":
        return Failure(
            JobCode.STALLED, _with_log("the run said nothing for too long", tail), retry=True
        )
    if code == -signal.SIGKILL and memory_ran_out:
        message = "the kernel killed the run (SIGKILL) when the machine's memory had run out"
        return Failure(RunCode.OUT_OF_MEMORY, _with_log(message, tail), retry=True)
    if end is not None and code in (Exit.OUT_OF_MEMORY, Exit.NO_SPACE, Exit.INTERRUPTED):
        return _told(code, end, retry=True)
    if code in UNSAID:
        named, said = UNSAID[Exit(code)]
        return Failure(named, _with_log(said, tail), retry=True)
    if any(words in tail.lower() for words in MEMORY):
        said = "the run ended when it got no more memory"
        return Failure(RunCode.OUT_OF_MEMORY, _with_log(said, tail), retry=True)
    if code < 0:
        return Failure(JobCode.KILLED, _with_log(death(-code), tail), retry=True)
    name = Exit(code).name if code in set(Exit) else "an unknown code"
    return Failure(RunCode.BUG, _with_log(f"the run exited with {code} ({name})", tail), retry=True)


def death(number: int) -> str:
    """A signal's name and what it usually means here."""
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    hints = {
        signal.SIGKILL: "the run was killed (SIGKILL), perhaps because memory ran out",
        signal.SIGSEGV: "the run crashed (SIGSEGV: invalid memory access)",
        signal.SIGBUS: "the run crashed (SIGBUS), perhaps because a disk is full",
        signal.SIGILL: "the run crashed (SIGILL): this CPU lacks an instruction that was used",
    }
    return hints.get(number, f"the run was killed by {name}")  # type: ignore[call-overload, no-any-return]


def _told(code: int, end: EndEvent | None, *, retry: bool) -> Failure:
    if end is None or end.code == "ok":
        message = f"the run exited with {code} ({Exit(code).name}) without saying why"
        return Failure(RunCode.BUG, message, retry=retry)
    return Failure(end.code, end.message, end.pointer, retry)


def _with_log(message: str, tail: str) -> str:
    return f"{message}\n{tail}" if tail else message

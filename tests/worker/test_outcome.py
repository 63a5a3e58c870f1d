"""Outcomes of runs that could not report why they ended."""

import pytest

from distillery.worker.outcome import Failure, read_outcome
from kdcore.spec.codes import Exit, RunCode
from kdcore.spec.events import EndEvent

# Observed when a run could allocate no more memory from some moment on.
OUT_OF_MEMORY = [
    (-6, "terminate called after throwing an instance of 'std::bad_alloc'"),
    (127, "cannot allocate memory for thread-local data: ABORT"),
    (1, "ImportError: libtorch_cpu.so: failed to map segment from shared object"),
    (1, "Traceback ...\nMemoryError"),
]


@pytest.mark.parametrize(("code", "tail"), OUT_OF_MEMORY)
def test_out_of_memory_is_recognized(code: int, tail: str) -> None:
    outcome = read_outcome(code, None, None, tail)
    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.retry) == ("out_of_memory", True)
    assert tail in outcome.message


def test_the_runs_own_last_event_takes_precedence() -> None:
    end = EndEvent(seq=1, at=1, exit="NO_SPACE", code="no_space", message="the disk is full")
    outcome = read_outcome(Exit.NO_SPACE, end, None, "OSError: cannot allocate memory")
    assert outcome == Failure(RunCode.NO_SPACE, "the disk is full", None, retry=True)
    other = read_outcome(-9, None, None, "some other words")
    assert isinstance(other, Failure) and other.code == "killed"


@pytest.mark.parametrize("code", [Exit.NO_SPACE, Exit.OUT_OF_MEMORY])
def test_the_exit_code_decides_without_a_last_event(code: Exit) -> None:
    """On a full disk, the last event cannot be written."""
    outcome = read_outcome(code, None, None, "")
    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.retry) == (code.name.lower(), True)

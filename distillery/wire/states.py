"""The job state machine: one small table of legal moves."""

from enum import StrEnum


class State(StrEnum):
    """The state of a job. Cancel and pause are requests (a column), not states."""

    QUEUED = "queued"  # waits for a worker; nothing runs
    RUNNING = "running"  # one attempt holds the lease
    PAUSED = "paused"  # checkpointed, holds no slot, waits for resume
    SUCCEEDED = "succeeded"  # artifacts and student are in place
    FAILED = "failed"  # ended with a named reason; retry puts it back
    CANCELLED = "cancelled"  # ended on request


MOVES: dict[State | None, frozenset[State]] = {
    None: frozenset({State.QUEUED}),
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset(
        {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PAUSED, State.QUEUED}
    ),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.SUCCEEDED: frozenset(),
    State.CANCELLED: frozenset(),
}

TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
ACTIVE = frozenset(State) - TERMINAL


def is_legal(source: State | None, target: State) -> bool:
    """Whether a job may move from `source` (None: not yet made) to `target`."""
    return target in MOVES[source]

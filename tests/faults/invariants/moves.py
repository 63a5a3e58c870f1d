"""I1 to I4: a job's transitions and attempts are consistent."""

from sqlalchemy import select

from distillery.store.db.tables import Attempt, Event, Job, MetricPoint, Transition
from distillery.wire.states import TERMINAL, State, is_legal
from tests.faults.invariants.evidence import Evidence, Violation, Violations, by_job


def one_terminal_transition(evidence: Evidence) -> Violations:
    """I1: a job ends once, unless a user retried a failed one."""
    moves = evidence.transitions()
    for job in evidence.jobs:
        own = moves.get(job.id, [])
        ends = [m for m, after in zip(own, [*own[1:], None], strict=True) if _is_end(m, after)]
        if len(ends) > 1:
            yield Violation(job.id, "ended as " + ", then ".join(m.target for m in ends))
        if (job.state in TERMINAL) != bool(ends):
            yield Violation(job.id, f"is {job.state}, but has {len(ends)} terminal transitions")


def _is_end(move: Transition, after: Transition | None) -> bool:
    retried = after is not None and (after.source, after.target) == ("failed", "queued")
    return move.target in TERMINAL and not retried


def attempts_rise(evidence: Evidence) -> Violations:
    """I2: attempts are 1, 2, 3, ..., and only the newest one writes."""
    session = evidence.session
    moves = evidence.transitions()
    query = select(Attempt).order_by(Attempt.job_id, Attempt.number)
    attempts = by_job(session.scalars(query))
    columns = select(Event.job_id, Event.id, Event.attempt).order_by(Event.job_id, Event.id)
    events = by_job(session.execute(columns))
    for job in evidence.jobs:
        own: list[Attempt] = attempts.get(job.id, [])
        if [attempt.number for attempt in own] != list(range(1, job.attempt + 1)):
            numbers = ", ".join(str(attempt.number) for attempt in own)
            yield Violation(job.id, f"is at attempt {job.attempt}; there are attempts {numbers}")
        for attempt in own:
            runs = job.state is State.RUNNING and attempt.number == job.attempt
            if (attempt.ended_at is None) != runs:
                word = "open" if attempt.ended_at is None else "closed"
                yield Violation(job.id, f"is {job.state}; its attempt {attempt.number} is {word}")
        yield from _moves_rise(job, moves.get(job.id, []))
        writers = [row.attempt for row in events.get(job.id, [])]
        if writers != sorted(writers) or (writers and writers[-1] > job.attempt):
            yield Violation(job.id, "has events of an attempt that was no longer the newest")
    late = (
        select(MetricPoint.job_id, MetricPoint.series, MetricPoint.step)
        .join(Job, Job.id == MetricPoint.job_id)
        .where(MetricPoint.attempt > Job.attempt)
    )
    for row in session.execute(late):
        yield Violation(row.job_id, f"{row.series} at step {row.step} is of an unknown attempt")


def _moves_rise(job: Job, moves: list[Transition]) -> Violations:
    attempt = 0
    for move in moves:
        attempt += move.target == State.RUNNING
        if move.attempt != attempt:
            yield Violation(
                job.id,
                f"{move.source} -> {move.target} was made by attempt {move.attempt}, "
                f"when {attempt} was the newest",
            )
            attempt = move.attempt


def moves_are_legal(evidence: Evidence) -> Violations:
    """I3: every transition is legal and starts where the last one ended, up to the job's state."""
    moves = evidence.transitions()
    for job in evidence.jobs:
        state: str | None = None
        for move in moves.get(job.id, []):
            source = None if move.source is None else State(move.source)
            if move.source != state or not is_legal(source, State(move.target)):
                yield Violation(job.id, f"{move.source} -> {move.target}, when it was {state}")
            state = move.target
        if state != job.state:
            yield Violation(job.id, f"is {job.state}; its transitions end with {state}")


def all_end(evidence: Evidence) -> Violations:
    """I4: every accepted job has ended, or is paused on request."""
    for job in evidence.jobs:
        if evidence.settled and job.state not in TERMINAL and job.state is not State.PAUSED:
            yield Violation(job.id, f"is {job.state} since {job.updated_at}, attempt {job.attempt}")

"""A Hypothesis machine over the job state machine: workers, zombies, a reaper, users, a clock.

Every rule does the same to the database and to the model beside it, and expects the same answer;
after every step all rows are compared. The clock is the database's: the statement that reads it is
replaced by one that says what we want, so that nothing of it is left in the service.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from distillery.store import idempotency, jobs
from distillery.store.db import database
from distillery.store.db.database import Database
from distillery.store.db.tables import (
    Artifact,
    Attempt,
    Event,
    Job,
    MetricPoint,
    Model,
    Table,
    Transition,
)
from distillery.store.errors import Conflict, Invalid, LeaseLost
from distillery.store.jobs import events
from distillery.wire.states import MOVES, TERMINAL, State
from kdcore.spec.codes import RunCode
from kdcore.spec.events import CheckpointEvent, RunEvent
from tests.store.jobs.model import Model as Expected
from tests.store.jobs.model import ModelClaim, ModelJob
from tests.store.makers import (
    TENANT,
    WEIGHTS,
    add_dataset,
    distill_result,
    metrics_event,
    spec_of,
)

START = 1_700_000_000_000
LEASE_MS = 60_000
ROUNDS = 40  # of drain: each attempt needs one, and no job here has more attempts left
Held = tuple[jobs.Claim, ModelClaim]
DAY_MS = 24 * 3600 * 1000
OPEN = 3  # jobs at a time: few, so that acts meet at the same ones
PICK = st.integers(0, 3)
TICKS_MS = [1, 900, 5_000, 45_000, LEASE_MS, LEASE_MS + 1, 301_000, DAY_MS + 1]
ENDS = [State.PAUSED, State.QUEUED, State.CANCELLED]
WISHES = ["cancel", "cancel", "pause", "pause", "resume", "resume", "retry"]


# Who does how much: one rule draws an act from these. Of many rules Hypothesis leaves some out of
# every example ("swarm"), and without a submission, a claim and the clock nothing much happens.
WORK = ("renew_lease", "append", "succeed", "fail", "release")
ACTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "claim": (5, {"pick": PICK, "worker": st.sampled_from(["w1", "w2", "w3"])}),
    "fail": (3, {"pick": PICK, "retry": st.sampled_from([True, True, False])}),
    "silence": (2, {}),
    "overtake": (3, {}),
    "append": (
        3,
        {
            "pick": PICK,
            "again": st.integers(0, 2),
            "fresh": st.integers(0, 3),
            "checkpoint": st.booleans(),
            "value": st.floats(-5, 5),
        },
    ),
    "wish": (3, {"pick": PICK, "wish": st.sampled_from(WISHES)}),
    "wait": (3, {"ms": st.sampled_from(TICKS_MS), "reaps": st.booleans()}),
    "release": (2, {"pick": PICK, "end": st.sampled_from(ENDS)}),
    "submit": (2, {"key": st.sampled_from([None, "a", "b"]), "limit": st.integers(1, 4)}),
    "renew_lease": (2, {"pick": PICK}),
    "succeed": (1, {"pick": PICK}),
    "reap": (1, {}),
    "reuse_a_key": (1, {"key": st.sampled_from(["a", "b"])}),
}
NAMES = [name for name, (often, _) in ACTS.items() for _ in range(often)]


def _given(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(ACTS[name][1]))


class JobMachine(RuleBasedStateMachine):
    """Set `database` in a subclass."""

    database: Database

    @initialize()
    def begin(self) -> None:
        self.model = Expected(START)
        self.claims: list[Held] = []
        self.tick(0)
        with self.database.engine.begin() as connection:
            for table in reversed(Table.metadata.sorted_tables):
                connection.execute(table.delete())
        with self.database.write() as s:
            self.dataset = add_dataset(s)
        self.submit(None, 3)

    @rule(act=st.sampled_from(NAMES).flatmap(_given))
    def act(self, act: tuple[str, dict[str, Any]]) -> None:
        """Draw one act of one actor. A worker without a claim does nothing."""
        name, given = act
        if self.claims or name not in WORK:
            getattr(self, name)(**given)

    def tick(self, ms: int) -> None:
        """The clock goes on."""
        self.model.now += ms
        name = self.database.engine.dialect.name
        database._NOW[name] = text(f"SELECT CAST({self.model.now} AS bigint)")

    def wait(self, ms: int, reaps: bool) -> None:
        """The clock goes on, and perhaps the reaper comes by."""
        self.tick(ms)
        if reaps:
            self.reap()

    def submit(self, key: str | None, limit: int) -> None:
        """I10: a request with a key that is known makes nothing new."""
        if key is None and len(self.model.open()) >= OPEN:
            return
        spec = spec_of(self.dataset, limits={"attempts": limit})
        known = self.model.known(key)
        with self.database.write() as s:
            found = key and idempotency.find(s, TENANT, key, "same")
            if found:
                assert known == found.body["id"]
                return
            job = jobs.submit(s, TENANT, spec)
            if key:
                body = {"id": job.id}
                idempotency.save(s, TENANT, key, "same", status=202, location=None, body=body)
        assert known is None
        self.model.jobs[job.id] = ModelJob(job.id, limit, self.model.now)
        if key:
            self.model.keys[key] = (job.id, self.model.now)

    def reuse_a_key(self, key: str) -> None:
        """Another request under a key that is known is refused."""
        if self.model.known(key):
            with self.database.write() as s:
                try:
                    idempotency.find(s, TENANT, key, "other")
                except Invalid:
                    return
            raise AssertionError("a key was used for two requests")

    def claim(self, pick: int, worker: str) -> None:
        """A worker hears a notification, which may be late or doubled."""
        job = self.model.waiting_first()[pick % len(self.model.jobs)]
        with self.database.write() as s:
            claim = jobs.claim(s, job.id, worker, LEASE_MS / 1000)
        expected = self.model.claim(job, worker, LEASE_MS)
        assert (claim is None) == (expected is None)
        if claim is None or expected is None:
            return
        assert claim.attempt == expected.attempt
        self.claims.append((claim, expected))

    def renew_lease(self, pick: int) -> None:
        """The worker renews its lease and learns what users want."""
        claim, mine = self._pick(pick)

        def expect() -> str | None:
            job = self.model.held(mine)
            job.lease_until = self.model.now + LEASE_MS
            return job.request

        self._same(lambda s: jobs.renew_lease(s, claim, LEASE_MS / 1000), expect)

    def append(self, pick: int, again: int, fresh: int, checkpoint: bool, value: float) -> None:
        """The worker appends steps, some of them again, as after a lost confirmation."""
        claim, mine = self._pick(pick)
        batch: list[RunEvent] = [metrics_event(n, 1, loss=9.0) for n in range(1, mine.seq + 1)]
        batch = batch[len(batch) - min(again, len(batch)) :]
        steps = range(mine.step + 1, mine.step + fresh + 1)
        batch += [metrics_event(mine.seq + n, step, loss=value) for n, step in enumerate(steps, 1)]
        seq, step = mine.seq + fresh, mine.step + fresh
        if checkpoint:
            seq += 1
            batch.append(CheckpointEvent(seq=seq, at=1.5, arm="student", step=step, path="x"))

        def expect() -> int:
            job = self.model.held(mine)
            job.recorded += [(mine.attempt, "metrics")] * fresh
            job.recorded += [(mine.attempt, "checkpoint")] * checkpoint
            job.points |= dict.fromkeys(steps, (value, mine.attempt))
            job.checkpoint = step if checkpoint else job.checkpoint
            mine.seq, mine.step = seq, step
            return len(job.recorded)

        self._same(lambda s: events.append(s, claim, batch), expect)

    def succeed(self, pick: int) -> None:
        """The worker brings results home."""
        claim, mine = self._pick(pick)

        def expect() -> None:
            self.model.held(mine).move(State.SUCCEEDED, self.model.now)
            mine.job.results += 1

        self._same(lambda s: jobs.succeed(s, claim, distill_result(), [WEIGHTS]) and None, expect)

    def fail(self, pick: int, retry: bool) -> None:
        """The worker's run died."""
        claim, mine = self._pick(pick)

        def expect() -> None:
            job = self.model.held(mine)
            job.bury(self.model.now) if retry else job.move(State.FAILED, self.model.now)

        self._same(
            lambda s: jobs.fail(s, claim, RunCode.BUG, "it broke", retry=retry) and None, expect
        )

    def release(self, pick: int, end: Any) -> None:
        """The worker stops in good order."""
        claim, mine = self._pick(pick)
        self._same(
            lambda s: jobs.release(s, claim, end, "stopping") and None,
            lambda: self.model.release(mine, end),
        )

    def reap(self) -> None:
        """A pass of the reaper moves what has lapsed and names what waits."""
        with self.database.write() as s:
            report = jobs.reap(s)
        assert set(report.lapsed) == self.model.reap()
        assert len(report.lapsed) == len(set(report.lapsed))
        assert report.waiting == self.model.waiting()

    def silence(self) -> None:
        """Lets every lease lapse, then runs the reaper."""
        self.tick(LEASE_MS + 1)
        self.reap()

    def wish(self, pick: int, wish: str) -> None:
        """A user asks for something."""
        self._ask(self.model.running_first()[pick % len(self.model.jobs)], wish)

    def overtake(self) -> None:
        """No worker renews its lease until another takes over: this makes zombies."""
        self.silence()
        self.tick(301_000)
        self.claim(0, "heir")

    def _ask(self, job: ModelJob, wish: str) -> None:
        real = {
            "cancel": jobs.request_cancel,
            "pause": jobs.request_pause,
            "resume": jobs.resume,
            "retry": jobs.retry,
        }[wish]
        self._same(
            lambda s: real(s, TENANT, job.id) and None,
            lambda: getattr(self.model, wish)(job),
        )

    @invariant()
    def the_rows_are_the_models(self) -> None:
        """State, attempts, moves, events, points and results; see `check_job`."""
        with self.database.read() as s:
            rows = {job.id: job for job in s.scalars(select(Job))}
            assert rows.keys() == self.model.jobs.keys()
            history = Rows(s)
        for job_id, row in rows.items():
            check_job(row, history, self.model.jobs[job_id])

    def teardown(self) -> None:
        """I4: once faults stop, every job comes to an end."""
        if not hasattr(self, "model"):
            return
        for _ in range(ROUNDS):
            if all(job.state in TERMINAL for job in self.model.jobs.values()):
                return
            self.tick(301_000)
            self.reap()
            for job in list(self.model.jobs.values()):
                if job.state is State.PAUSED:
                    self._ask(job, "resume")
            for _ in self.model.waiting():
                self.claim(0, "last")
                self.succeed(0)
            self.the_rows_are_the_models()
        raise AssertionError("not every job came to an end")

    def _pick(self, pick: int) -> Held:
        """A claim that a worker has, or has lost: mostly one of the last."""
        return self.claims[-1 - pick % len(self.claims)]

    def _same(self, real: Callable[[Session], Any], expected: Callable[[], Any]) -> None:
        """Both answer the same, or refuse with the same error."""
        answers: list[Any] = []
        asked: tuple[Callable[[], Any], ...] = (lambda: self._write(real), expected)
        for ask in asked:
            try:
                answers.append(ask())
            except (LeaseLost, Conflict) as error:
                answers.append(type(error))
        assert answers[0] == answers[1]

    def _write(self, real: Callable[[Session], Any]) -> Any:
        with self.database.write() as s:
            return real(s)


class Rows:
    """All that hangs on jobs, by job."""

    def __init__(self, s: Session) -> None:
        self.moves: dict[str, list[tuple[State | None, State, int]]] = {}
        for move in s.scalars(select(Transition).order_by(Transition.id)):
            source = None if move.source is None else State(move.source)
            self.moves.setdefault(move.job_id, []).append(
                (source, State(move.target), move.attempt)
            )
        self.attempts: dict[str, list[Attempt]] = {}
        for attempt in s.scalars(select(Attempt).order_by(Attempt.number)):
            self.attempts.setdefault(attempt.job_id, []).append(attempt)
        self.recorded: dict[str, list[tuple[int, int, str]]] = {}
        for event in s.scalars(select(Event).order_by(Event.id)):
            self.recorded.setdefault(event.job_id, []).append((event.id, event.attempt, event.kind))
        self.points: dict[str, dict[int, tuple[float, int]]] = {}
        for point in s.scalars(select(MetricPoint).order_by(MetricPoint.step)):
            held = self.points.setdefault(point.job_id, {})
            held[point.step] = (point.value, point.attempt)
        self.artifacts = _counts(s, Artifact.job_id)
        self.students = _counts(s, Model.source_job)


def _counts(s: Session, column: Any) -> dict[str, int]:
    query = select(column, func.count()).where(column.is_not(None)).group_by(column)
    return {job_id: int(count) for job_id, count in s.execute(query)}


def check_job(row: Job, rows: Rows, job: ModelJob) -> None:
    """The job's rows equal the model's, and the invariants hold."""
    found = (row.state, row.attempt, row.failures, row.request, row.worker, row.lease_until)
    wanted = (job.state, job.attempt, job.failures, job.request, job.worker, job.lease_until)
    assert found == wanted and (row.not_before, row.queued_at) == (job.not_before, job.queued_at)
    moves = rows.moves[job.id]
    assert moves == job.moves
    # I1: one terminal move, but that a user may retry what failed; I3: legal moves only.
    for (_, before, _), (source, target, _) in pairwise(moves):
        assert source == before and target in MOVES[source], moves
        assert source not in TERMINAL or (source, target) == (State.FAILED, State.QUEUED)
    # I2: attempts strictly rise, and nothing older than the newest was let in.
    attempts = rows.attempts.get(job.id, [])
    assert [attempt.number for attempt in attempts] == list(range(1, row.attempt + 1))
    ended = [attempt.ended_at is not None for attempt in attempts]
    assert ended == [True] * (len(ended) - 1) + [row.state is not State.RUNNING] * bool(ended)
    recorded = rows.recorded.get(job.id, [])
    assert recorded == [(n, *event) for n, event in enumerate(job.recorded, 1)]
    assert [attempt for _, attempt, _ in recorded] == sorted(attempt for _, attempt, _ in recorded)
    # I6: a point a step, without gaps.
    points = rows.points.get(job.id, {})
    assert points == job.points and list(points) == list(range(1, len(points) + 1))
    done = int(row.state is State.SUCCEEDED)
    assert rows.artifacts.get(job.id, 0) == rows.students.get(job.id, 0) == job.results == done

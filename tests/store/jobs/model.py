"""A model of the store's jobs in plain Python, without SQL and locks."""

from dataclasses import dataclass, field

from distillery.store.errors import Conflict, LeaseLost
from distillery.store.idempotency import LIFETIME_S
from distillery.store.jobs.move import backoff_s
from distillery.wire.states import MOVES, TERMINAL, State


@dataclass
class ModelClaim:
    """One worker's attempt, as the worker sees it; it may be a zombie's."""

    job: "ModelJob"
    attempt: int
    step: int  # how far its run is
    seq: int = 0  # of its run's events given so far


@dataclass
class ModelJob:
    """One job's row, and all that hangs on it."""

    id: str
    limit: int
    queued_at: int
    state: State = State.QUEUED
    attempt: int = 0
    failures: int = 0
    request: str | None = None
    worker: str | None = None
    lease_until: int | None = None
    not_before: int = 0
    moves: list[tuple[State | None, State, int]] = field(default_factory=list)
    recorded: list[tuple[int, str]] = field(default_factory=list)  # (attempt, kind) of each event
    points: dict[int, tuple[float, int]] = field(default_factory=dict)  # step: (value, attempt)
    checkpoint: int = 0  # step of the newest checkpoint that was noted
    results: int = 0

    def __post_init__(self) -> None:
        self.moves.append((None, self.state, 0))

    def move(self, target: State, now: int) -> None:
        """Take the job to another state, as the table of moves allows."""
        assert target in MOVES[self.state], (self.state, target)
        self.moves.append((self.state, target, self.attempt))
        self.state, self.lease_until, self.request = target, None, None
        if target not in TERMINAL:
            self.worker = None
        if target is State.QUEUED:
            self.queued_at = now

    def waits(self, now: int) -> bool:
        """Whether a worker may claim it."""
        return self.state is State.QUEUED and self.not_before <= now

    def bury(self, now: int) -> None:
        """The running attempt died."""
        if self.request == "cancel":
            self.move(State.CANCELLED, now)
            return
        self.failures += 1
        if self.failures >= self.limit:
            self.move(State.FAILED, now)
        elif self.request == "pause":
            self.move(State.PAUSED, now)
        else:
            self.move(State.QUEUED, now)
            self.not_before = now + backoff_s(self.failures) * 1000


@dataclass
class Model:
    """All jobs, the idempotency keys, and the database's clock in milliseconds."""

    now: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)  # key: (job, made at)

    def known(self, key: str | None) -> str | None:
        """The job that this key has made already."""
        if key is None or key not in self.keys:
            return None
        job_id, made_at = self.keys[key]
        return job_id if made_at >= self.now - LIFETIME_S * 1000 else None

    def open(self) -> list[ModelJob]:
        """The jobs that have not ended."""
        return [job for job in self.jobs.values() if job.state not in TERMINAL]

    def newest_first(self) -> list[ModelJob]:
        """The jobs that have not ended, then those that have; each with the newest first."""
        newest = list(self.jobs.values())[::-1]
        return sorted(newest, key=lambda job: job.state in TERMINAL)

    def waiting_first(self) -> list[ModelJob]:
        """As `newest_first`, but those that a worker may claim before all others."""
        return sorted(self.newest_first(), key=lambda job: not job.waits(self.now))

    def running_first(self) -> list[ModelJob]:
        """As `newest_first`, but those that run before all others."""
        return sorted(self.newest_first(), key=lambda job: job.state is not State.RUNNING)

    def waiting(self) -> list[str]:
        """Ids of the jobs that a worker may claim, in their order."""
        waiting = [job for job in self.jobs.values() if job.waits(self.now)]
        return [job.id for job in sorted(waiting, key=lambda job: (job.queued_at, job.id))]

    def lapsed(self) -> list[ModelJob]:
        """Running jobs whose lease is over."""
        return [j for j in self.jobs.values() if j.lease_until and j.lease_until < self.now]

    def claim(self, job: ModelJob, worker: str, lease_ms: int) -> ModelClaim | None:
        """A worker asks for a job."""
        if not job.waits(self.now):
            return None
        job.attempt += 1
        job.move(State.RUNNING, self.now)
        job.worker, job.lease_until = worker, self.now + lease_ms
        return ModelClaim(job, job.attempt, job.checkpoint)

    def held(self, claim: ModelClaim) -> ModelJob:
        """The claim's job. Raises LeaseLost where it holds it no longer."""
        job = claim.job
        if job.state is not State.RUNNING or job.attempt != claim.attempt:
            raise LeaseLost("")
        return job

    def release(self, claim: ModelClaim, target: State) -> None:
        """A worker lets its job go."""
        job = self.held(claim)
        if job.request == "cancel" or target is State.CANCELLED:
            job.move(State.CANCELLED, self.now)
        else:
            job.move(State.PAUSED if job.request == "pause" else State.QUEUED, self.now)

    def reap(self) -> set[str]:
        """What one pass moves."""
        lapsed = self.lapsed()
        for job in lapsed:
            job.bury(self.now)
        return {job.id for job in lapsed}

    def cancel(self, job: ModelJob) -> None:
        """A user cancels. Raises Conflict."""
        if job.state is State.RUNNING:
            job.request = "cancel"
        elif job.state in (State.SUCCEEDED, State.FAILED):
            raise Conflict("")
        elif job.state is not State.CANCELLED:
            job.move(State.CANCELLED, self.now)

    def pause(self, job: ModelJob) -> None:
        """A user pauses. Raises Conflict."""
        self._open(job)
        if job.state is State.RUNNING:
            job.request = "pause"
        elif job.state is State.QUEUED:
            job.move(State.PAUSED, self.now)

    def resume(self, job: ModelJob) -> None:
        """A user resumes. Raises Conflict."""
        self._open(job)
        job.request = None
        if job.state is State.PAUSED:
            job.move(State.QUEUED, self.now)
            job.not_before = 0

    def retry(self, job: ModelJob) -> None:
        """A user tries again. Raises Conflict."""
        if job.state in (State.QUEUED, State.RUNNING):
            return
        if job.state is not State.FAILED:
            raise Conflict("")
        job.move(State.QUEUED, self.now)
        job.failures = job.not_before = 0

    def _open(self, job: ModelJob) -> None:
        if job.state in TERMINAL or job.request == "cancel":
            raise Conflict("")

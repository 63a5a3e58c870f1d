"""One attempt at a job: lays out its directory, supervises its run and moves the job at the end."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.blobs.disk import translate_disk_errors
from distillery.store.catalog import teacher_outputs
from distillery.store.catalog.teacher_outputs import NewOutput
from distillery.store.db.tables import Job
from distillery.store.errors import (
    LeaseLost,
    NoSpace,
    NotFound,
    StorageFailed,
    StoreError,
    Unavailable,
)
from distillery.store.jobs import Claim, events
from distillery.telemetry import traces
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State
from distillery.worker import metrics
from distillery.worker.collect_artifacts import store_artifacts
from distillery.worker.config import inherited_environment
from distillery.worker.context import WorkerContext
from distillery.worker.device import DeviceSlot
from distillery.worker.lease import Lease
from distillery.worker.logfile import LogFile, log_tail
from distillery.worker.oom import oom_kills
from distillery.worker.outcome import Failure, Outcome, Release, StopReason, Success, read_outcome
from distillery.worker.outputs import TeacherOutputFiles
from distillery.worker.periodic import Periodic
from distillery.worker.plan import Plan, make_plan
from distillery.worker.recorder import Recorder
from distillery.worker.run_monitor import RunMonitor
from distillery.worker.rundir import BadRunDir, RunDir
from distillery.worker.runner import Run
from distillery.worker.tracing import Phases
from distillery.worker.warm_pool import WarmPool, WarmProcess
from kdcore.spec.codes import Exit
from kdcore.spec.events import RunEvent
from kdcore.spec.failpoints import failpoint
from kdcore.spec.run import DistillRun

T = TypeVar("T")
logger = logging.getLogger(__name__)
CHECK_S = 0.25  # interval between checks of the run, which need no database query


class Stopped(Exception):
    """The attempt must end before its run has started."""

    def __init__(self, stop_reason: StopReason):
        super().__init__(stop_reason)
        self.stop_reason = stop_reason


class Attempt:
    """Works on a claim, in the thread that calls `run`."""

    def __init__(self, context: WorkerContext, claim: Claim, slot: DeviceSlot, warm_pool: WarmPool):
        self._context = context
        self._claim = claim
        self._slot = slot
        self._warm_pool = warm_pool
        self._dir = RunDir(context.settings.runs, claim.job_id, claim.attempt)
        self._outputs = TeacherOutputFiles(self._dir.path)
        self._recorder = Recorder(self._dir.path)
        self._recorded_s = 0.0
        self._oom_kills = oom_kills()
        self._lease = Lease(context.lease_database, claim, context.settings)
        self._phases = Phases()

    def run(self) -> None:
        """Work until the job has moved to another state or another attempt owns it."""
        logger.info("started %s on %s", self._claim.task, self._slot)
        outcome = "fenced"
        try:
            with self._lease:
                job = self._finish(self._execute())
        except LeaseLost:
            logger.warning("the lease is lost: the run was killed and nothing more is written")
        except Unavailable as error:
            logger.error("the attempt is abandoned; the reaper will requeue the job: %s", error)
            outcome = "abandoned"
        else:
            logger.info("the job is %s", job.state)
            outcome = job.state.value
            if not self._context.settings.keep_runs:
                self._dir.tidy(forget=job.state in (State.SUCCEEDED, State.CANCELLED))
        metrics.ATTEMPTS.labels(self._claim.task, outcome).inc()

    def _execute(self) -> Outcome:
        try:
            plan = self._until_available(self._make_plan)
            with self._warm_pool.acquire(self._slot) as warm:
                with traces.span("lay out"), translate_disk_errors():
                    warm_dir = None if warm is None else warm.path
                    self._dir.lay_out(plan, self._context.blobs, self._check, warm_dir)
                    self._outputs.lay_out(plan.outputs, self._context.blobs, self._check)
                self._import_earlier_events()
                failpoint("rundir.made")
                with traces.span("run", **{"kd.device": self._slot.device}):
                    self._phases.run_started(self._dir.path)
                    code, stop_reason = self._supervise(self._start_run(warm))
                    self._phases.run_ended()
            return self._read_outcome(plan, code, stop_reason)
        except Stopped as stopped:
            return read_outcome(Exit.INTERRUPTED, None, stopped.stop_reason, "")
        except (BadRunDir, NotFound) as error:
            return Failure(error.code, error.message)
        except (NoSpace, StorageFailed) as error:
            return Failure(error.code, error.message, retry=True)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # outermost handler: the failure needs a code
            logger.error("the worker failed", exc_info=error)
            return Failure(JobCode.WORKER_FAILED, f"the worker failed: {error}", retry=True)

    def _make_plan(self) -> Plan:
        with self._context.database.read() as session:
            return make_plan(session, self._claim, self._slot, self._context.settings.packs)

    def _start_run(self, warm: WarmProcess | None) -> Run:
        if warm is not None:
            try:
                warm.run.begin()
            except BrokenPipeError:
                logger.warning("the warm run has died; starting another run")
            else:
                logger.info("using warm run %s", warm.run.pid)
                return warm.run
        environment = inherited_environment() | self._slot.environment()
        return Run(self._dir.path, self._context.command, environment)

    def _supervise(self, run: Run) -> tuple[int, StopReason | None]:
        """Wait for the run, stopping it if necessary; returns its exit code and why it was stopped,
        if it was."""
        context = self._context
        monitor = RunMonitor(run, self._lease, context, self._claim.limits)
        # Events are stored by another thread. This one must notice in time that the lease is about
        # to lapse, which is just when the database may keep a writer waiting.
        name = f"events-{self._claim.job_id}"
        log = LogFile(self._dir.path, context.settings.run_log_bytes)
        with Periodic(name, CHECK_S, self._record) as recording:
            try:
                while (code := run.wait(CHECK_S)) is None:
                    log.shorten()
                    is_active = self._recorder.has_grown()
                    monitor.check(is_active, max(log.written_bytes, self._recorder.size))
            finally:
                run.kill()
        recording.join()
        return code, monitor.stop_reason

    def _read_outcome(self, plan: Plan, code: int, stop_reason: StopReason | None) -> Outcome:
        """Store the remaining events and interpret the exit code, unless the lease is lost."""
        self._lease.check()
        if stop_reason == "output_limit":
            self._recorder.discard()
        while self._until_available(lambda: self._recorder.drain(self._append)):
            pass
        self._phases.export()
        if code == Exit.OK:
            with traces.span("store artifacts"):
                return self._store_artifacts(plan)
        tail, memory_ran_out = log_tail(self._dir.path), oom_kills() > self._oom_kills
        return read_outcome(code, self._recorder.end, stop_reason, tail, memory_ran_out)

    def _record(self) -> None:
        if time.monotonic() - self._recorded_s < self._context.settings.tick_s:
            return  # the first events are stored immediately, later ones in batches
        try:
            self._recorder.drain(self._append)
        except LeaseLost:
            self._lease.lost = True
        except StoreError as error:
            logger.warning("cannot store events, retrying later: %s", error)

    def _import_earlier_events(self) -> None:
        """Import events that earlier attempts wrote but their workers never stored; the resumed run
        will not emit them again.

        Runs after the checkpoints were linked, because a run writes an event before the checkpoint
        that covers it. Events older than the last stored one are dropped: they come from a run that
        a frozen worker let continue for a while after it woke up.
        """
        for number in range(self._until_available(self._first_to_import), self._claim.attempt):
            recorder = Recorder(self._dir.job / str(number))
            append = partial(self._append, of_attempt=number)
            while self._until_available(partial(recorder.drain, append)):
                self._check()

    def _first_to_import(self) -> int:
        with self._context.database.read() as session:
            return events.last_attempt_with_events(session, self._claim.job_id)

    def _append(self, batch: list[RunEvent], of_attempt: int | None = None) -> None:
        self._recorded_s = time.monotonic()
        with self._context.database.write() as session:
            events.append(session, self._claim, batch, of_attempt=of_attempt)
            failpoint("events.committing")
        failpoint("events.committed")
        if of_attempt is None:
            self._phases.add(batch)

    def _store_artifacts(self, plan: Plan) -> Success:
        blobs, check, stopping = self._context.blobs, self._lease.check, self._context.stopping
        result = self._dir.result(self._claim.task)
        artifacts = tuple(store_artifacts(self._dir, result, blobs, check, stopping))
        outputs = self._store_outputs(plan)
        failpoint("artifacts.stored")
        return Success(result, artifacts, outputs)

    def _store_outputs(self, plan: Plan) -> tuple[NewOutput, ...]:
        context = self._context
        if not isinstance(plan.spec, DistillRun) or not context.settings.teacher_cache_bytes:
            return ()
        teachers = {plan.inputs[teacher.weights] for teacher in plan.spec.teachers}
        dataset = plan.inputs[plan.spec.dataset.path]
        stored = []
        try:
            for new in self._outputs.store_new(teachers, dataset, context.blobs, self._lease.check):
                stored.append(new)
        except (NoSpace, StorageFailed) as error:
            logger.warning("cannot store teacher outputs for later jobs: %s", error)
        return tuple(stored)

    def _finish(self, outcome: Outcome) -> Job:
        """Move the job to the state that follows from `outcome`."""
        if not isinstance(outcome, Success):
            logger.info("ends with %s", outcome)
            return self._until_available(lambda: self._move(outcome))
        try:
            return self._until_available(lambda: self._move(outcome))
        except (LeaseLost, Unavailable):
            raise
        except NotFound as error:
            gone = Failure(error.code, error.message, retry=True)
            return self._until_available(lambda: self._move(gone))
        except Exception as error:  # a result may violate any constraint of the store
            logger.error("the result was refused", exc_info=error)
            refused = Failure(JobCode.BAD_RESULT, f"the result was refused: {error}")
            return self._until_available(lambda: self._move(refused))

    def _move(self, outcome: Outcome) -> Job:
        if isinstance(outcome, Success):
            # The database may have been away for long: keep the blobs from being collected.
            stored = [artifact.sha256 for artifact in outcome.artifacts]
            for sha256 in stored + [output.sha256 for output in outcome.outputs]:
                self._context.blobs.touch(sha256)
        with self._context.database.write() as session:
            job = self._write_end(session, outcome)
            failpoint("end.committing")
        failpoint("end.committed")
        return job

    def _write_end(self, session: Session, outcome: Outcome) -> Job:
        match outcome:
            case Success(result, artifacts, outputs):
                body = result.model_dump(mode="json")
                job = jobs.succeed(session, self._claim, body, artifacts)
                self._keep_outputs(session, outputs)
                return job
            case Failure(code, message, pointer, retry):
                return jobs.fail(session, self._claim, code, message, pointer, retry)
            case Release(target, message):
                return jobs.release(session, self._claim, target, message)

    def _keep_outputs(self, session: Session, outputs: Sequence[NewOutput]) -> None:
        bound, used = self._context.settings.teacher_cache_bytes, self._outputs.used
        teacher_outputs.save(session, self._claim.tenant, outputs, used, bound)

    def _check(self) -> None:
        """Called often while files are copied. Raises LeaseLost or Stopped."""
        self._lease.check()
        if self._context.stopping.is_set():
            raise Stopped("stop")
        if self._lease.request is not None:
            raise Stopped(self._lease.request)

    def _until_available(self, action: Callable[[], T]) -> T:
        """Retry `action` until the store is available. Every write is fenced by the attempt, so a
        late one does no harm. Raises Unavailable if the worker is stopped meanwhile."""
        while True:
            try:
                return action()
            except Unavailable as error:
                if self._context.stopping.wait(1.0):
                    raise
                logger.warning("waiting for the store: %s", error)

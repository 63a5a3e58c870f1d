"""One attempt at a job: lay out its directory, look after its run, and move the job at its end."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.blobs.disk import failing_disk
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
LOOK_S = 0.25  # between two looks at the run, which cost no database query


class Stopped(Exception):
    """The attempt is to end before its run has started."""

    def __init__(self, stop_reason: StopReason):
        super().__init__(stop_reason)
        self.stop_reason = stop_reason


class Attempt:
    """A claim being worked on, in the thread that calls `carry_out`."""

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
        self._log = logging.getLogger(__name__)

    def carry_out(self) -> None:
        """Work until the job has moved, or is another's."""
        self._log.info("started %s on %s", self._claim.task, self._slot)
        outcome = "fenced"
        try:
            with self._lease:
                job = self._conclude(self._try())
        except LeaseLost:
            self._log.warning("the lease is lost; the run is gone, and nothing more is written")
            metrics.FENCES.inc()
        except Unavailable as error:
            self._log.error("given up, the reaper will put the job back: %s", error)
            outcome = "given_up"
        else:
            self._log.info("the job is %s", job.state)
            outcome = job.state.value
            if not self._context.settings.keep_runs:
                self._dir.tidy(forget=job.state in (State.SUCCEEDED, State.CANCELLED))
        metrics.ATTEMPTS.labels(self._claim.task, outcome).inc()

    def _try(self) -> Outcome:
        try:
            plan = self._insist(self._make_plan)
            with self._warm_pool.taken(self._slot) as process:
                where = None if process is None else process.path
                with traces.span("lay out"), failing_disk():
                    self._dir.lay_out(plan, self._context.blobs, self._check, where)
                    self._outputs.lay_out(plan.outputs, self._context.blobs, self._check)
                self._catch_up()
                failpoint("rundir.made")
                with traces.span("run", **{"kd.device": self._slot.device}):
                    self._phases.run_begins(self._dir.path)
                    code, stop_reason = self._look_after(self._begin(process))
                    self._phases.run_ends()
            return self._read(plan, code, stop_reason)
        except Stopped as stopped:
            return read_outcome(Exit.INTERRUPTED, None, stopped.stop_reason, "")
        except (BadRunDir, NotFound) as error:
            return Failure(error.code, error.message)
        except (NoSpace, StorageFailed) as error:
            return Failure(error.code, error.message, retry=True)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 - the outermost seam: a job must end by name
            self._log.error("the worker failed", exc_info=error)
            return Failure(JobCode.WORKER_FAILED, f"the worker failed: {error}", retry=True)

    def _make_plan(self) -> Plan:
        with self._context.database.read() as session:
            return make_plan(session, self._claim, self._slot, self._context.settings.packs)

    def _begin(self, process: WarmProcess | None) -> Run:
        if process is not None:
            try:
                process.run.begin()
            except BrokenPipeError:
                self._log.warning("the run that waited has died; another starts")
            else:
                self._log.info("took up %s, which waited", process.run.pid)
                return process.run
        environment = inherited_environment() | self._slot.environment()
        return Run(self._dir.path, self._context.command, environment)

    def _look_after(self, run: Run) -> tuple[int, StopReason | None]:
        """See the run out: its exit code, and why it was asked to end, if it was."""
        context = self._context
        stopping, hurrying, limits = context.stopping, context.hurrying, self._claim.limits
        monitor = RunMonitor(
            run, self._lease, context.settings, limits, stopping, hurrying, self._log
        )
        # Events are written in a thread of their own: this one must see in time that the lease runs
        # out, which is just when the database may keep a writer waiting.
        name = f"events-{self._claim.job_id}"
        log = LogFile(self._dir.path, context.settings.run_log_bytes)
        with Periodic(name, LOOK_S, self._record) as recording:
            try:
                while (code := run.wait(LOOK_S)) is None:
                    log.bound()
                    heard = self._recorder.has_grown()
                    monitor.look(heard, max(log.bytes_said, self._recorder.size))
            finally:
                run.kill()
        recording.last()
        return code, monitor.stop_reason

    def _read(self, plan: Plan, code: int, stop_reason: StopReason | None) -> Outcome:
        """What the exit code and the rest of the events say, once the job is known to be ours."""
        self._lease.check()
        if stop_reason == "flood":
            self._recorder.discard()
        while self._insist(lambda: self._recorder.drain(self._append)):
            pass
        self._phases.tell()
        if code == Exit.OK:
            with traces.span("bring home"):
                return self._store_artifacts(plan)
        tail, ran_out = log_tail(self._dir.path), oom_kills() > self._oom_kills
        return read_outcome(code, self._recorder.end, stop_reason, tail, ran_out)

    def _record(self) -> None:
        if time.monotonic() - self._recorded_s < self._context.settings.tick_s:
            return  # the first events are seen at once, later ones in batches
        try:
            self._recorder.drain(self._append)
        except LeaseLost:
            self._lease.lost = True
        except StoreError as error:
            self._log.warning("events are kept for later: %s", error)

    def _catch_up(self) -> None:
        """Keep what earlier attempts said last, which their workers did not live to write down: the
        run goes on behind it, so nobody would say it again. After the checkpoints were linked: an
        event comes before the checkpoint that has it behind it. What comes before the last word
        that is kept came too late: a worker that froze may wake and let its run go on for a bit."""
        for number in range(self._insist(self._last_to_speak), self._claim.attempt):
            recorder = Recorder(self._dir.job / str(number))
            append = partial(self._append, said_in=number)
            while self._insist(partial(recorder.drain, append)):
                self._check()

    def _last_to_speak(self) -> int:
        with self._context.database.read() as session:
            return events.last_to_speak(session, self._claim.job_id)

    def _append(self, batch: list[RunEvent], said_in: int | None = None) -> None:
        self._recorded_s = time.monotonic()
        with self._context.database.write() as session:
            events.append(session, self._claim, batch, said_in=said_in)
            failpoint("events.committing")
        failpoint("events.committed")
        if said_in is None:
            self._phases.take(batch)

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
        kept = []
        try:
            for new in self._outputs.store_artifacts(
                teachers, dataset, context.blobs, self._lease.check
            ):
                kept.append(new)
        except (NoSpace, StorageFailed) as error:
            self._log.warning("what the teachers said is not kept for later jobs: %s", error)
        return tuple(kept)

    def _conclude(self, outcome: Outcome) -> Job:
        """Move the job, and give it back as moved."""
        if not isinstance(outcome, Success):
            self._log.info("ends with %s", outcome)
            return self._insist(lambda: self._move(outcome))
        try:
            return self._insist(lambda: self._move(outcome))
        except (LeaseLost, Unavailable):
            raise
        except NotFound as error:
            gone = Failure(error.code, error.message, retry=True)
            return self._insist(lambda: self._move(gone))
        except Exception as error:  # noqa: BLE001 - a run's result may break any rule of the store
            self._log.error("the result was refused", exc_info=error)
            refused = Failure(JobCode.BAD_RESULT, f"the result was refused: {error}")
            return self._insist(lambda: self._move(refused))

    def _move(self, outcome: Outcome) -> Job:
        if isinstance(outcome, Success):
            # Waiting for the database may have taken long: nothing of it must count as left over.
            brought = [artifact.sha256 for artifact in outcome.artifacts]
            for sha256 in brought + [output.sha256 for output in outcome.outputs]:
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
        teacher_outputs.keep(session, self._claim.tenant, outputs, used, bound)

    def _check(self) -> None:
        """Called often while files are copied. Raises LeaseLost or Stopped."""
        self._lease.check()
        if self._context.stopping.is_set():
            raise Stopped("stop")
        if self._lease.request is not None:
            raise Stopped(self._lease.request)

    def _insist(self, action: Callable[[], T]) -> T:
        """Do it as soon as the store answers: every write is fenced by the attempt, so a late one
        does no harm. Raises Unavailable when the worker is told to stop meanwhile."""
        while True:
            try:
                return action()
            except Unavailable as error:
                if self._context.stopping.wait(1.0):
                    raise
                self._log.warning("waiting for the store: %s", error)

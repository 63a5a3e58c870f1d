"""The worker's two Celery tasks and the two programs that serve them."""

import logging
import signal
import threading
import time
from collections.abc import Callable

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.beat import Scheduler, Service
from celery.worker import state

from distillery.broker.app import JOBS, REAPER, RUN_JOB, RUN_REAPER
from distillery.worker.dispatcher import Dispatcher
from distillery.worker.periodic import Periodic

logger = logging.getLogger(__name__)
OVERDUE = 3  # intervals without a reaper pass


def serve_jobs(app: Celery, dispatcher: Dispatcher) -> int:
    """Run jobs until SIGTERM, SIGINT or SIGHUP; returns the exit code."""

    def run_job(job_id: object) -> None:
        if isinstance(job_id, str):
            dispatcher.offer(job_id)
        else:
            logger.error("dropped a notification for %.200r", job_id)

    app.task(run_job, name=RUN_JOB)
    # Jobs may be claimed before Celery has installed its signal handlers.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: dispatcher.stop())
    # The poll does not wait for the broker: jobs run while that is down.
    dispatcher.start()
    try:
        return _serve(
            app,
            JOBS,
            dispatcher.slots.count,
            dispatcher.stop,
            dispatcher.abort,
            dispatcher.is_stopping,
        )
    finally:
        dispatcher.stop()
        dispatcher.join()


def serve_reaper(app: Celery, reap: Callable[[], None], every_s: float) -> int:
    """Call `reap` every `every_s` seconds until SIGTERM, SIGINT or SIGHUP; returns the exit code.

    Celery's beat sends the task through the broker; while that is down, a thread calls it instead.
    """
    reaped_s = time.monotonic()

    def run_reaper() -> None:
        nonlocal reaped_s
        reaped_s = time.monotonic()
        reap()

    def run_overdue() -> None:
        if time.monotonic() - reaped_s < OVERDUE * every_s:
            return
        try:
            run_reaper()
        except Exception as error:  # the thread must survive; the next pass may succeed
            logger.error("the reaper failed", exc_info=error)

    app.task(run_reaper, name=RUN_REAPER)
    app.conf.beat_schedule = {
        "reaper": {
            "task": RUN_REAPER,
            "schedule": every_s,
            # An older message has been superseded by a newer one.
            "options": {"queue": REAPER, "expires": every_s},
        }
    }
    stopping = threading.Event()
    threading.Thread(
        target=_run_beat, args=(app, every_s, stopping), name="beat", daemon=True
    ).start()
    with Periodic("overdue", every_s, run_overdue):
        return _serve(app, REAPER, 1, stopping.set, stopping.set, stopping.is_set)


def _run_beat(app: Celery, every_s: float, stopping: threading.Event) -> None:
    # Celery's embedded beat is a process, which would outlive a killed worker and keep sending.
    # The schedule needs no memory across restarts, hence no schedule file.
    while not stopping.is_set():
        try:
            Service(app, max_interval=every_s, scheduler_cls=Scheduler).start()
        except Exception as error:  # the beat must go on, whatever broke it
            logger.error("Celery's beat failed, restarting it", exc_info=error)
        stopping.wait(every_s)


class _Program(Worker):  # type: ignore[misc]
    """Celery's worker, except that SIGHUP stops it instead of restarting it."""

    is_stopping: Callable[[], bool]

    def install_platform_tweaks(self, worker: Worker) -> None:
        """As in Worker; stops immediately if a stop signal came before Celery's handlers."""
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        if self.is_stopping():
            state.should_stop = 0  # an exit code; Celery checks it between messages


def _serve(
    app: Celery,
    queue: str,
    threads: int,
    stop: Callable[[], None],
    abort: Callable[[], None],
    is_stopping: Callable[[], bool],
) -> int:
    """Consume `queue` until stopped: the first signal calls `stop`, later ones call `abort`."""

    def on_shutdown(**_: object) -> None:
        nonlocal stop
        current, stop = stop, abort
        current()

    def keep_logging(**_: object) -> None:
        """Being connected is what keeps Celery from configuring logging."""

    for chatter in ("celery.app.trace", "celery.beat", "celery.worker.strategy"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    signals.worker_shutting_down.connect(on_shutdown, weak=False)
    signals.setup_logging.connect(keep_logging, weak=False)
    program = _Program(
        app=app,
        pool_cls="threads",
        concurrency=threads,
        queues=[queue],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="INFO",
        quiet=True,
    )
    program.is_stopping = is_stopping
    program.start()
    return program.exitcode or 0

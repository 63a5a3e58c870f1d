"""The worker's Celery side: its two tasks, and the two programs that serve them."""

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
OVERDUE = 3  # reaper runs that did not come


def serve_jobs(app: Celery, dispatcher: Dispatcher) -> int:
    """Run jobs until told to stop (SIGTERM, SIGINT, SIGHUP); returns the exit code."""

    def run_job(job_id: object) -> None:
        if isinstance(job_id, str):
            dispatcher.offer(job_id)
        else:
            logger.error("dropped a notification for %.200r", job_id)

    app.task(run_job, name=RUN_JOB)
    # From the first claim on a signal must not kill us; Celery listens to signals only later.
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
            dispatcher.hurry,
            dispatcher.is_stopping,
        )
    finally:
        dispatcher.stop()
        dispatcher.join()


def serve_reaper(app: Celery, reap: Callable[[], None], every_s: float) -> int:
    """Reaper every `every_s` seconds until told to stop; returns the exit code.

    The beat comes by way of the broker; while that is down this goes on without it.
    """
    swept_s = time.monotonic()

    def run_reaper() -> None:
        nonlocal swept_s
        swept_s = time.monotonic()
        reap()

    def run_overdue() -> None:
        if time.monotonic() - swept_s < OVERDUE * every_s:
            return
        try:
            run_reaper()
        except Exception as error:  # a thread's outermost seam: the next one may go well
            logger.error("the reaper failed", exc_info=error)

    app.task(run_reaper, name=RUN_REAPER)
    app.conf.beat_schedule = {
        "reaper": {
            "task": RUN_REAPER,
            "schedule": every_s,
            # What waited for longer is superseded: nothing piles up.
            "options": {"queue": REAPER, "expires": every_s},
        }
    }
    stopping = threading.Event()
    threading.Thread(
        target=_keep_beating, args=(app, every_s, stopping), name="beat", daemon=True
    ).start()
    with Periodic("overdue", every_s, run_overdue):
        return _serve(app, REAPER, 1, stopping.set, stopping.set, stopping.is_set)


def _keep_beating(app: Celery, every_s: float, stopping: threading.Event) -> None:
    # Celery's own embedded beat is a process, which would outlive a killed worker and go on
    # notifying. Nothing needs to be remembered between starts, so no schedule file either.
    while not stopping.is_set():
        try:
            Service(app, max_interval=every_s, scheduler_cls=Scheduler).start()
        except Exception as error:  # the beat must go on, whatever broke
            logger.error("the beat broke, another begins", exc_info=error)
        stopping.wait(every_s)


class _Program(Worker):  # type: ignore[misc]
    """Celery's worker, which a closed terminal stops instead of starting it anew."""

    is_stopping: Callable[[], bool]

    def install_platform_tweaks(self, worker: Worker) -> None:
        """As in Worker. Who was told to stop before Celery listened stops now."""
        super().install_platform_tweaks(worker)
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        if self.is_stopping():
            state.should_stop = 0  # an exit code, for which Celery looks between two messages


def _serve(
    app: Celery,
    queue: str,
    threads: int,
    stop: Callable[[], None],
    hurry: Callable[[], None],
    is_stopping: Callable[[], bool],
) -> int:
    told: list[Callable[[], None]] = [hurry, stop]  # the first time, and every other time

    def on_stop(**_: object) -> None:
        (told.pop() if len(told) > 1 else hurry)()

    def leave_logging_alone(**_: object) -> None:
        """Being connected is what counts."""

    for chatter in ("celery.app.trace", "celery.beat", "celery.worker.strategy"):
        logging.getLogger(chatter).setLevel(logging.WARNING)
    signals.worker_shutting_down.connect(on_stop, weak=False)
    signals.setup_logging.connect(leave_logging_alone, weak=False)
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

"""Notifies workers that a job is waiting, without ever blocking the caller for long."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache

from celery import Celery

from distillery.broker.app import RUN_JOB, app
from kdcore.spec.failpoints import failpoint

logger = logging.getLogger(__name__)
WAIT_S = 0.8  # longest time that a caller is blocked
PAUSE_S = 5.0  # after a failure, notifications are skipped for this long
SOCKET_S = 0.4  # timeout of each connect, read and write


class Notifier:
    """Sends notifications through one app. While the broker is down or stalled, one caller per
    `PAUSE_S` is delayed by `WAIT_S`; all others return immediately."""

    def __init__(self, app: Celery):
        self.app = app
        # Socket timeouts do not bound a name lookup or a slow trickle of bytes; a thread does.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker")
        self._lock = threading.Lock()
        self._paused_until_s = 0.0
        self._connection = app.connection_for_write(
            transport_options={"socket_connect_timeout": SOCKET_S, "socket_timeout": SOCKET_S}
        )

    def notify(self, job_id: str) -> bool:
        """Send a notification; returns whether the broker took it. Never raises: a lost one is
        harmless, since the workers' poll finds the job."""
        with self._lock:
            if time.monotonic() < self._paused_until_s:
                return False
        failpoint("notification.sending")
        future: Future[None] = self._thread.submit(self._publish, job_id)
        try:
            future.result(timeout=WAIT_S)
        except FutureTimeout:
            future.cancel()
            self._pause("the broker did not answer")
            return False
        except Exception as error:  # noqa: BLE001 - kombu passes on every driver's own exceptions
            self._pause(repr(error))
            return False
        failpoint("notification.sent")
        return True

    def _publish(self, job_id: str) -> None:
        self.app.send_task(
            RUN_JOB,
            args=[job_id],
            connection=self._connection,
            # Retry on a new connection: the broker may have been restarted since the last call.
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
        )

    def _pause(self, reason: str) -> None:
        logger.warning("a notification was lost; a worker's poll will find the job: %s", reason)
        with self._lock:
            self._paused_until_s = time.monotonic() + PAUSE_S


@cache
def _notifier() -> Notifier:
    return Notifier(app)


def notify(job_id: str) -> bool:
    """Notify the workers of a waiting job, after its commit; returns within about a second.

    Never raises. False if the broker did not take the notification: the job then starts up to one
    poll interval later.
    """
    return _notifier().notify(job_id)

"""Notifying: tell the workers that a job waits, without ever making the caller wait long for it."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache

from celery import Celery

from distillery.broker.app import JOBS, RUN_JOB, app
from kdcore.spec.failpoints import failpoint

logger = logging.getLogger(__name__)
PATIENCE_S = 0.8  # the longest that a caller waits
PAUSE_S = 5.0  # no notification is tried for so long after one that failed
SOCKET_S = 0.4  # connect, read and write each, on the notifying connection alone


class Notifier:
    """Sends notifications through one app. A broker that is down or stalled delays one caller by
    `PATIENCE_S` every `PAUSE_S`; all others return immediately."""

    def __init__(self, app: Celery):
        self._app = app
        # Socket timeouts do not bound a name look-up or a slow drip of bytes; a thread does.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker")
        self._lock = threading.Lock()
        self._quiet_until_s = 0.0
        self._connection = app.connection_for_write(
            transport_options={"socket_connect_timeout": SOCKET_S, "socket_timeout": SOCKET_S}
        )

    def notify(self, job_id: str) -> bool:
        """Tell the workers; never raises. False: not known to have been heard, which is harmless,
        for the workers' poll finds the job."""
        with self._lock:
            if time.monotonic() < self._quiet_until_s:
                return False
        failpoint("notification.sending")
        future: Future[None] = self._thread.submit(self._publish, job_id)
        try:
            future.result(timeout=PATIENCE_S)
        except FutureTimeout:
            future.cancel()
            self._be_quiet("no answer from the broker")
            return False
        except Exception as error:  # noqa: BLE001 - kombu lets every driver's own errors through
            self._be_quiet(repr(error))
            return False
        failpoint("notification.sent")
        return True

    def waiting(self) -> int:
        """How many notifications nobody has taken yet. Raises what the broker's driver raises."""
        with self._app.connection_for_write() as connection:
            queue = connection.default_channel.queue_declare(JOBS)
            return int(queue.message_count)

    def _publish(self, job_id: str) -> None:
        self._app.send_task(
            RUN_JOB,
            args=[job_id],
            connection=self._connection,
            # Once more on a fresh connection: the broker may have been restarted since last time.
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0},
        )

    def _be_quiet(self, why: str) -> None:
        logger.warning("a notification was lost, the poll will find the job: %s", why)
        with self._lock:
            self._quiet_until_s = time.monotonic() + PAUSE_S


@cache
def _notifier() -> Notifier:
    return Notifier(app)


def notify(job_id: str) -> bool:
    """Tell the workers that a job waits; call it after the commit. Within about a second, never
    raises; false when the broker did not take it, which only costs the workers' poll interval."""
    return _notifier().notify(job_id)

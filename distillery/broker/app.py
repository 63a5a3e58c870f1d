"""The one Celery app: two queues and their tasks' names. messages are hints, rows are the truth.

A lost, late or doubled message must be harmless, so a message is acknowledged before its work, no
result is kept and nothing is retried: the poll of every worker and the reaper find what was lost.
"""

from typing import Any

from celery import Celery
from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES

from distillery.broker.config import SCHEME, BrokerSettings

JOBS = "jobs"
REAPER = "reaper"
RUN_JOB = "worker.run_job"
RUN_REAPER = "worker.run_reaper"

# Without these a stalled Redis holds a caller for as long as TCP likes.
REDIS_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 2.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
}


def register_transports() -> None:
    """Make kombu use our transports, by name: each is imported when it is first used."""
    TRANSPORT_ALIASES[SCHEME] = "distillery.broker.filesystem:Transport"
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "distillery.broker.redis:Transport"


def make_app(settings: BrokerSettings) -> Celery:
    """Build the app for a broker. Connects to nothing."""
    register_transports()
    app = Celery("distillery", broker=settings.url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # With Redis, a late acknowledgement redelivers every run that outlasts the visibility
        # timeout (one hour) to a second device.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=not settings.is_local,  # Celery knows it for Redis alone
        task_queues=(Queue(JOBS), Queue(REAPER)),  # type: ignore[no-untyped-call]
        task_default_queue=JOBS,
        task_create_missing_queues=False,
        task_routes={RUN_JOB: {"queue": JOBS}, RUN_REAPER: {"queue": REAPER}},
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_detect_quorum_queues=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # the default gives up after 100 and exits
        broker_connection_timeout=2.0,
        broker_transport_options={} if settings.is_local else REDIS_OPTIONS,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
    )
    return app


app = make_app(BrokerSettings())

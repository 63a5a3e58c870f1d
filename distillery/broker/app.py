"""The one Celery app: two queues and their tasks. Messages are hints; database rows are the truth.

A lost, late or duplicate message must be harmless. So messages are acknowledged before the work,
results are not kept and nothing is retried: the workers' polls and the reaper find lost jobs.
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

# Without these a stalled Redis blocks a caller until TCP gives up.
REDIS_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": 2.0,
    "socket_timeout": 5.0,
    "socket_keepalive": True,
}


def register_transports() -> None:
    """Register our transports with kombu, by name: each is imported on first use."""
    TRANSPORT_ALIASES[SCHEME] = "distillery.broker.filesystem:Transport"
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "distillery.broker.redis:Transport"


def make_app(settings: BrokerSettings) -> Celery:
    """Build the app for a broker, without connecting."""
    register_transports()
    app = Celery("distillery", broker=settings.url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_backend=None,
        task_ignore_result=True,
        # With Redis, a late acknowledgement would redeliver each run that outlasts the visibility
        # timeout (one hour) to a second worker.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=not settings.is_local,  # Celery supports it for Redis alone
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

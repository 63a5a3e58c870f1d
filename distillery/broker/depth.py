"""Counts the notifications waiting on the broker."""

from celery import Celery

from distillery.broker.app import JOBS, app
from distillery.broker.notify import SOCKET_S


def notifications_waiting(asked: Celery = app) -> int:
    """Count the notifications that no worker has taken, on a new connection and without retrying.

    Raises the broker driver's own exceptions. A name lookup has no timeout: call it in a thread.
    """
    timeouts = {"socket_connect_timeout": SOCKET_S, "socket_timeout": SOCKET_S}
    with asked.connection_for_write(transport_options=timeouts) as connection:
        # Without this, kombu connects on first use and retries for ever.
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        queue = connection.default_channel.queue_declare(JOBS)
        return int(queue.message_count)

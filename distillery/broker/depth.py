"""Counts how many notifications wait there."""

from celery import Celery

from distillery.broker.app import JOBS, app
from distillery.broker.notify import SOCKET_S


def notifications_waiting(asked: Celery = app) -> int:
    """How many notifications nobody has taken yet, asked on a connection of its own, once.

    Raises what the broker's driver raises. A name look-up may take its time: ask in a thread.
    """
    timeouts = {"socket_connect_timeout": SOCKET_S, "socket_timeout": SOCKET_S}
    with asked.connection_for_write(transport_options=timeouts) as connection:
        # Without this kombu connects by itself, and tries for ever.
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        queue = connection.default_channel.queue_declare(JOBS)
        return int(queue.message_count)

"""The Redis transport keeps consuming after the broker has stalled."""

from typing import Any

from kombu.connection import Connection

from distillery.broker.app import register_transports
from tests.faults.servers import proxy_for, through


def test_consuming_continues_after_a_lost_acknowledgement(broker_url: str) -> None:
    register_transports()
    with proxy_for(broker_url) as proxy:
        options = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}
        url = through(proxy, broker_url)
        connection: Any = Connection(url, transport_options=options)  # type: ignore[no-untyped-call]
        with connection, connection.SimpleQueue("jobs") as queue:
            queue.consumer.qos(prefetch_count=1)
            queue.put("first")
            queue.put("second")
            first = queue.get(timeout=10)
            proxy.set_mode("hole")
            first.ack_log_error(_Log(), connection.connection_errors)
            proxy.set_mode("pass")
            assert queue.get(timeout=10).payload == "second"


class _Log:
    """Receives kombu's log of the failed acknowledgement."""

    def critical(self, *_: object, **__: object) -> None:
        """Expected: the acknowledgement failed."""

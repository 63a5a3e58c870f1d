"""The Redis transport: consuming goes on after a broker that stalled in the middle of things."""

from typing import Any

from kombu.connection import Connection

from distillery.broker.app import register_transports
from tests.faults.servers import proxy_for, through


def test_a_message_whose_acknowledgement_got_lost_does_not_end_consuming(broker_url: str) -> None:
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
            proxy.be("hole")
            first.ack_log_error(_Log(), connection.connection_errors)
            proxy.be("pass")
            assert queue.get(timeout=10).payload == "second"


class _Log:
    """Takes what kombu logs of the acknowledgement."""

    def critical(self, *_: object, **__: object) -> None:
        """It failed, as it should."""

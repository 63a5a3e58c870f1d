"""kombu's Redis transport, made to live through a message that is none and a broker that stalls.

With kombu 5.7 alone one garbled list item ends the worker: it is parsed outside every handler. And
an acknowledgement that a stalled broker does not take is logged and forgotten while the message
goes on counting as unacknowledged: a consumer that prefetches one would never take another.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

logger = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Counts a message as acknowledged even where the broker could not be told: it may bring it a
    second time then, which does no harm."""

    def ack(self, delivery_tag: str) -> None:
        """As in QoS; raises what the driver raises."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception:  # each driver has its own errors; it is raised again
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise


class Channel(kombu_redis.Channel):
    """A channel that drops what it cannot parse; it has left the list by then."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            logger.error("dropped a malformed message: %r", error)
            raise Empty from error


class Transport(kombu_redis.Transport):
    """The transport behind `redis://` addresses."""

    Channel = Channel

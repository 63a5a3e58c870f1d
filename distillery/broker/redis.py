"""kombu's Redis transport, made robust against malformed messages and a stalled broker.

With kombu 5.7 alone a malformed list item crashes the worker, because it is parsed outside of every
handler. And when a stalled broker does not take an acknowledgement, the message still counts as
unacknowledged: a consumer with a prefetch count of one never takes another.
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

logger = logging.getLogger(__name__)


class QoS(kombu_redis.QoS):
    """Counts a message as acknowledged even if the broker did not take the acknowledgement. It may
    deliver the message again, which is harmless."""

    def ack(self, delivery_tag: str) -> None:
        """As in QoS. Raises the driver's own exceptions."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except Exception:  # any driver's exception; re-raised below
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise


class Channel(kombu_redis.Channel):
    """A channel that drops malformed messages, which have left the list by then."""

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

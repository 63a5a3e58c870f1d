"""kombu's Redis transport, made to live through a message that is none.

Without this one garbled list item ends the worker: it is parsed outside every handler (kombu 5.7).
"""

import logging
from queue import Empty
from typing import Any

from kombu.transport import redis as kombu_redis

logger = logging.getLogger(__name__)


class Channel(kombu_redis.Channel):
    """A channel that drops what it cannot parse; it has left the list by then."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            logger.error("dropped a malformed message: %r", error)
            raise Empty from error


class Transport(kombu_redis.Transport):
    """The transport behind `redis://` addresses."""

    Channel = Channel

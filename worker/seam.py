"""What the outermost seams do with an error nobody foresaw: a full traceback in the log."""

import logging

logger = logging.getLogger(__name__)


def report(what: str, error: Exception) -> None:
    """Log `what` broke, and why."""
    logger.error("%s", what, exc_info=error)

"""Logging for all processes: one line per record, with the ids of the job or request."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from distillery.telemetry.config import TelemetrySettings

Fields = Mapping[str, Any]
_context: ContextVar[Fields] = ContextVar("fields", default={})  # noqa: B039 - never mutated


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Add these fields to every record logged in this context: by this thread, and by the threads
    and tasks that copy its context."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def log_fields(log: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Log a message with additional fields."""
    log.log(level, message, extra={"fields": fields})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own: Fields = getattr(record, "fields", {})
    return {name: value for name, value in {**_context.get(), **own}.items() if value is not None}


class TextLines(logging.Formatter):
    """Time, level, logger, message and fields; a traceback follows on its own lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - their name
        """As in Formatter."""
        fields = [f"{name}={value}" for name, value in _fields(record).items()]
        return " ".join([super().formatMessage(record), *fields])


class JsonLines(logging.Formatter):
    """One JSON object per line, which includes the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """As in Formatter."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up(settings: TelemetrySettings) -> None:
    """Log to stderr in the configured format."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings.format_for(sys.stderr) == "json"
    handler.setFormatter(JsonLines() if is_json else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)  # else warnings would be written between the JSON lines

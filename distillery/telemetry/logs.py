"""The log of every process: one line per record, with the ids of what is being worked on."""

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
_bound: ContextVar[Fields] = ContextVar("fields", default={})  # noqa: B039 - never changed in place


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Give these fields to every record of this context: of this thread, and of the threads and
    tasks that take the context over."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def log_fields(log: logging.Logger, level: int, message: str, **fields: Any) -> None:
    """Log a message with fields of its own."""
    log.log(level, message, extra={"fields": fields})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own: Fields = getattr(record, "fields", {})
    return {name: value for name, value in {**_bound.get(), **own}.items() if value is not None}


class TextLines(logging.Formatter):
    """Time, level, logger and message, then the fields; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - their name
        """As in Formatter."""
        said = [f"{name}={value}" for name, value in _fields(record).items()]
        return " ".join([super().formatMessage(record), *said])


class JsonLines(logging.Formatter):
    """One JSON object per line, a traceback inside it."""

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
    """Send the whole process's log to stderr, in the format that is asked for."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings.format_for(sys.stderr) == "json"
    handler.setFormatter(JsonLines() if is_json else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)  # or they break into JSON lines

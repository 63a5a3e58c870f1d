"""Text and JSON lines, with the fields of the context they were logged in."""

import json
import logging
import threading
from contextvars import copy_context

import pytest

from distillery.telemetry.config import TelemetrySettings
from distillery.telemetry.logs import JsonLines, TextLines, log_context, log_fields

LOG = logging.getLogger("tests.logs")


def test_fields_of_the_context_and_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines: list[str] = []

    def work() -> None:
        log_fields(LOG, logging.INFO, "done", job="job_2", none=None)
        lines.append(JsonLines().format(caplog.records[-1]))
        lines.append(TextLines().format(caplog.records[-1]))

    with log_context(job="job_1", attempt=3), log_context(tenant="acme"):
        thread = threading.Thread(target=copy_context().run, args=(work,))
        thread.start()
        thread.join()
    work()
    parsed = json.loads(lines[0])
    assert parsed.pop("at").endswith("+00:00")
    assert parsed == {
        "level": "INFO",
        "logger": "tests.logs",
        "message": "done",
        "job": "job_2",
        "attempt": 3,
        "tenant": "acme",
    }
    assert lines[1].endswith("INFO tests.logs: done job=job_2 attempt=3 tenant=acme")
    assert "tenant" not in json.loads(lines[2])


def test_a_traceback_stays_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        LOG.error("it failed: %s", "x", exc_info=error)
    (line,) = JsonLines().format(caplog.records[-1]).splitlines()
    parsed = json.loads(line)
    assert parsed["message"] == "it failed: x"
    assert parsed["traceback"].endswith("ValueError: broken\nin two")
    assert "Traceback" in TextLines().format(caplog.records[-1])


def test_text_is_for_terminals() -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    with open("/dev/null") as file:  # noqa: PTH123 - a stream that is not a terminal
        assert TelemetrySettings().format_for(file) == "json"
        assert TelemetrySettings(log_format="text").format_for(file) == "text"
    assert TelemetrySettings().format_for(Terminal()) == "text"  # type: ignore[arg-type]

"""Events: flushed lines, numbered without gaps, valid JSON whatever they hold."""

import math
from pathlib import Path

import pytest

from kdcore.runtime.errors import RunError
from kdcore.runtime.event_log import PROGRESS_EVERY_S, EventLog, finite_metrics
from kdcore.spec.codes import RunCode
from kdcore.spec.events import RUN_EVENT, EndEvent, MetricsEvent, ProgressEvent
from kdcore.spec.names import Phase


def _progress(events: EventLog) -> None:
    events.progress(
        arm="student",
        stage=(0, 2),
        epoch=(1, 4),
        step=(5, 20),
        fraction=1.2,
        images_per_s=None,
        eta_s=3.0,
    )


def test_every_line_is_written_immediately_and_seq_has_no_gaps(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("old\n")
    events = EventLog(path)
    events.phase(Phase.PREPARING)
    _progress(events)
    events.metrics(3, {"student/loss": 1.5, "student/bad": math.nan})
    events.metrics(4, {"student/bad": math.inf})
    events.checkpoint("student", 5, "checkpoints/00000001")
    events.log("warning", "two\nlines")
    events.fail(RunError(RunCode.DIVERGED, "no", pointer="/stages/0"))
    read = [RUN_EVENT.validate_json(line) for line in path.read_text().splitlines()]
    assert [e.seq for e in read] == list(range(1, 7))
    progress, metrics, end = read[1], read[2], read[-1]
    assert isinstance(progress, ProgressEvent) and progress.fraction == 1.0
    assert isinstance(metrics, MetricsEvent) and metrics.values == {"student/loss": 1.5}
    assert isinstance(end, EndEvent)
    assert (end.exit, end.code, end.pointer) == ("DIVERGED", "diverged", "/stages/0")
    events.close()


def test_metrics_that_are_not_finite_are_dropped() -> None:
    values = {"nan": math.nan, "zero": 0.0, "inf": math.inf, "-inf": -math.inf, "max": 1.7e308}
    assert finite_metrics(values) == {"zero": 0.0, "max": 1.7e308}


def test_progress_is_due_twice_a_second_and_phases_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("kdcore.runtime.event_log.time.monotonic", lambda: now_s)
    events = EventLog(tmp_path / "events.jsonl")
    assert events.progress_due()
    events.phase(Phase.TRAINING)
    _progress(events)
    assert not events.progress_due()
    now_s += PROGRESS_EVERY_S
    assert events.progress_due()
    events.phase(Phase.SAVING)
    now_s += 2
    events.succeed()
    assert events.seconds == {"training": 0.5, "saving": 2.0}
    events.close()

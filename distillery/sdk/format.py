"""Numbers as people read them, and the rows that compare the networks of a result."""

from kdcore.spec.names import Phase
from kdcore.spec.result import DistillResult, NetworkReport

PHASES = {str(phase): phase.label for phase in Phase}


def size(count: int | None) -> str:
    """Format bytes in the unit that fits."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def number(value: int | None) -> str:
    """Format a count with its thousands separated."""
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """Format a fraction in percent."""
    return "-" if value is None else f"{value:.1%}"


def clock(seconds: float) -> str:
    """Format a duration as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def phase_label(phase: str) -> str:
    """Say what a run does in a phase; the phase's own name if it is newer than this client."""
    return PHASES.get(phase, phase)


def result_columns(result: DistillResult) -> tuple[str, ...]:
    """The header of `result_rows`."""
    return ("", "network", f"accuracy ({result.split})", "parameters", "weights", "latency")


def result_rows(result: DistillResult) -> list[tuple[str, ...]]:
    """Teachers, student and the same student from scratch; accuracy is the last epoch's."""
    rows = [("teacher", *_cells(report)) for report in result.teachers]
    rows.append(("student, distilled" if result.teachers else "trained", *_cells(result.student)))
    if result.baseline:
        rows.append(("same, from scratch", *_cells(result.baseline)))
    return rows


def verdict(result: DistillResult) -> str:
    """Gain, retention and gap closed in one line; empty when there is nothing to compare."""
    parts = []
    if result.gain is not None:
        parts.append(f"gain over scratch {result.gain * 100:+.1f} points")
    if result.retention is not None:
        parts.append(f"{result.retention:.1%} of the teacher's accuracy")
    if result.gap_closed is not None:
        parts.append(f"{result.gap_closed:.0%} of the gap closed")
    if result.teachers and result.teachers[0].parameters >= 2 * result.student.parameters > 0:
        ratio = result.teachers[0].parameters / result.student.parameters
        parts.append(f"{ratio:.0f}x fewer parameters")
    return ", ".join(parts)


def _cells(report: NetworkReport) -> tuple[str, ...]:
    return (
        report.architecture,
        percent(report.last.accuracy),
        number(report.parameters),
        size(report.size_bytes),
        f"{report.latency_ms:.2f} ms",
    )

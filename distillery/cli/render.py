"""How results and sizes are put for people."""

from collections.abc import Sequence

from rich.table import Table

from kdcore.spec.result import DistillResult, NetworkReport, RunArtifact


def result_table(result: DistillResult) -> Table:
    """Teacher, student and scratch side by side; accuracy is the last epoch's, on held-out data."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "network"):
        table.add_column(column, no_wrap=True)
    for column in (f"accuracy ({result.split})", "parameters", "weights", "latency"):
        table.add_column(column, justify="right", no_wrap=True)
    for report in result.teachers:
        table.add_row("teacher", *_cells(report))
    word = "student, distilled" if result.teachers else "trained"
    table.add_row(word, *_cells(result.student), style="bold")
    if result.baseline:
        table.add_row("same, from scratch", *_cells(result.baseline))
    return table


def verdict(result: DistillResult) -> str:
    """Gain, retention and gap closed in one line; empty when there is nothing to compare."""
    parts = []
    if result.gain is not None:
        parts.append(f"gain over scratch {result.gain * 100:+.1f} points")
    if result.retention is not None:
        parts.append(f"{result.retention:.1%} of the teacher's accuracy")
    if result.gap_closed is not None:
        parts.append(f"{result.gap_closed:.0%} of the gap closed")
    if result.teachers and result.student.parameters:
        ratio = result.teachers[0].parameters / result.student.parameters
        parts.append(f"{ratio:.0f}x fewer parameters")
    return ", ".join(parts)


def onnx_check(artifacts: Sequence[RunArtifact]) -> str:
    """What loading the ONNX export back and comparing its outputs showed."""
    for artifact in artifacts:
        if artifact.kind == "onnx" and artifact.max_abs_diff is not None:
            return (
                "ONNX loaded back in onnxruntime, "
                f"largest output difference {artifact.max_abs_diff:.1e}"
            )
    return ""


def provenance(result: DistillResult) -> str:
    """How often the run was resumed, and whether its bits are those of a run left alone."""
    if not result.resumes:
        return ""
    times = "once" if result.resumes == 1 else f"{result.resumes} times"
    if result.bit_exact:
        return f"resumed {times}, to the same bits"
    return (
        f"resumed {times}, with other software, threads or hardware at least once: "
        "not exact to the bit"
    )


def size(count: int | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def number(value: int | None) -> str:
    """A count with thousands separated."""
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else f"{value:.1%}"


def _cells(report: NetworkReport) -> tuple[str, ...]:
    return (
        report.architecture,
        percent(report.last.accuracy),
        number(report.parameters),
        size(report.size_bytes),
        f"{report.latency_ms:.2f} ms",
    )

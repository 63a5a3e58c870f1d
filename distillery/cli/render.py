"""How results look on a terminal."""

from collections.abc import Sequence

from rich.table import Table

from distillery.sdk.format import result_columns, result_rows
from kdcore.spec.result import DistillResult, RunArtifact


def result_table(result: DistillResult) -> Table:
    """Compare teacher, student and scratch; accuracy is the last epoch's, on held-out data."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(result_columns(result)):
        table.add_column(column, no_wrap=True, justify="left" if number < 2 else "right")
    student = len(result.teachers)
    for number, row in enumerate(result_rows(result)):
        table.add_row(*row, style="bold" if number == student else None)
    return table


def onnx_check(artifacts: Sequence[RunArtifact]) -> str:
    """Say how far the ONNX export's outputs are from the network's; empty without an export."""
    for artifact in artifacts:
        if artifact.kind == "onnx" and artifact.max_abs_diff is not None:
            return (
                "ONNX file checked in onnxruntime: "
                f"largest output difference {artifact.max_abs_diff:.1e}"
            )
    return ""


def provenance(result: DistillResult) -> str:
    """Say how often the run was resumed, and whether that changed its bits; empty if never."""
    if not result.resumes:
        return ""
    times = "once" if result.resumes == 1 else f"{result.resumes} times"
    if result.bit_exact:
        return f"resumed {times}, bit-exact"
    return f"resumed {times}, with other software, threads or hardware: not bit-exact"

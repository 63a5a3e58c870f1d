"""The table of a result fits a terminal of 80 columns and says what was won."""

import io

from rich.console import Console

from distillery.cli.render import (
    number,
    onnx_check,
    percent,
    provenance,
    result_table,
    size,
    verdict,
)
from kdcore.spec.result import DistillResult, Machine, NetworkReport, RunArtifact, Score
from kdcore.spec.run import Network


def _report(name: str, architecture: str, parameters: int, accuracy: float) -> NetworkReport:
    return NetworkReport(
        name=name,
        architecture=architecture,
        parameters=parameters,
        size_bytes=parameters * 4,
        latency_ms=1.5,
        last=Score(accuracy=accuracy, loss=0.1, samples=1000),
    )


RESULT = DistillResult(
    split="test",
    teachers=(_report("teacher", "resnet20", 272_186, 0.98),),
    student=_report("student", "resnet8", 5_142, 0.96),
    baseline=_report("baseline", "resnet8", 5_142, 0.93),
    gain=0.03,
    retention=0.96 / 0.98,
    gap_closed=0.6,
    network=Network(architecture="resnet8", num_classes=10),
    artifacts=(
        RunArtifact(
            kind="onnx",
            path="student.onnx",
            media_type="application/octet-stream",
            size_bytes=1,
            sha256="0" * 64,
            max_abs_diff=1.2e-6,
        ),
    ),
    machine=Machine(torch="2", device="cpu", threads=2, precision="fp32"),
    bit_exact=True,
    seconds={},
)


def test_three_rows_in_80_columns() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(result_table(RESULT))
    lines = out.getvalue().splitlines()
    assert [line.split("resnet")[0].strip() for line in lines[1:]] == [
        "teacher",
        "student, distilled",
        "same, from scratch",
    ]
    assert "98.0%" in lines[1] and "272,186" in lines[1] and "1.1 MB" in lines[1]
    assert "1.50 ms" in lines[3]


def test_the_verdict_says_what_was_won() -> None:
    assert verdict(RESULT) == (
        "gain over scratch +3.0 points, 98.0% of the teacher's accuracy, 60% of the gap closed, "
        "53x fewer parameters"
    )
    assert "1.2e-06" in onnx_check(RESULT.artifacts)


def test_a_resumed_run_says_whether_its_bits_are_the_same() -> None:
    resumed = RESULT.model_copy(update={"resumes": 2})
    assert provenance(RESULT) == ""
    assert provenance(resumed) == "resumed 2 times, to the same bits"
    elsewhere = resumed.model_copy(update={"resumes": 1, "bit_exact": False})
    assert provenance(elsewhere).startswith("resumed once, with other software, threads or")
    assert provenance(elsewhere).endswith("not exact to the bit")


def test_sizes_read_well() -> None:
    assert [size(n) for n in (None, 5, 25_900, 1_100_000)] == ["-", "5 B", "25.9 KB", "1.1 MB"]
    assert (number(None), number(5142), percent(None), percent(0.5)) == ("-", "5,142", "-", "50.0%")

"""Numbers read well, and a result says in one line what was gained."""

from distillery.sdk.format import clock, number, percent, result_rows, size, verdict
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


def test_a_row_for_each_network() -> None:
    rows = result_rows(RESULT)
    assert [row[0] for row in rows] == ["teacher", "student, distilled", "same, from scratch"]
    assert rows[0][1:5] == ("resnet20", "98.0%", "272,186", "1.1 MB")
    alone = RESULT.model_copy(update={"teachers": (), "baseline": None})
    assert [row[0] for row in result_rows(alone)] == ["trained"]


def test_the_verdict_says_what_was_gained() -> None:
    assert verdict(RESULT) == (
        "gain over scratch +3.0 points, 98.0% of the teacher's accuracy, 60% of the gap closed, "
        "53x fewer parameters"
    )
    equal = RESULT.model_copy(update={"student": _report("student", "resnet20", 272_186, 0.96)})
    assert "fewer" not in verdict(equal)


def test_numbers_read_well() -> None:
    assert [size(n) for n in (None, 5, 25_900, 1_100_000)] == ["-", "5 B", "25.9 KB", "1.1 MB"]
    assert (number(None), number(5142), percent(None), percent(0.5)) == ("-", "5,142", "-", "50.0%")
    assert [clock(s) for s in (5, 75, 3675)] == ["0:05", "1:15", "1:01:15"]

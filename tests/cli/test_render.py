"""The table of a result fits a terminal of 80 columns; exports and resumes are accounted for."""

import io

from rich.console import Console

from distillery.cli.render import onnx_check, provenance, result_table
from tests.sdk.test_format import RESULT


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


def test_the_onnx_check_names_the_difference() -> None:
    assert "1.2e-06" in onnx_check(RESULT.artifacts)
    assert onnx_check(()) == ""


def test_a_resumed_run_says_whether_its_bits_are_the_same() -> None:
    resumed = RESULT.model_copy(update={"resumes": 2})
    assert provenance(RESULT) == ""
    assert provenance(resumed) == "resumed 2 times, bit-exact"
    elsewhere = resumed.model_copy(update={"resumes": 1, "bit_exact": False})
    assert provenance(elsewhere).startswith("resumed once, with other software")
    assert provenance(elsewhere).endswith("not bit-exact")

"""The golden values: our arithmetic is the authors', and wrong arithmetic is noticed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.kdcore import golden_cases
from tests.kdcore.golden_cases import CASES, PUBLIC, check_case, main, read_cases

RECORDED = read_cases(PUBLIC)


def test_every_recorded_case_has_our_function() -> None:
    assert set(RECORDED) == set(CASES)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_values_and_gradients(name: str) -> None:
    row = check_case(name, *RECORDED[name])
    assert row.passed, row


def test_a_deviation_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(case: golden_cases.Tensors, _: golden_cases.Params) -> golden_cases.Answer:
        return {"loss": (case["student"] - case["teacher"]).square().sum()[None]}

    monkeypatch.setitem(CASES, "fitnet_hint", wrong)
    assert main([str(PUBLIC)]) == 1
    assert capsys.readouterr().out.count("FAILED") == 1


def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert main([str(tmp_path / "other.safetensors")]) == 2
    assert main([str(tmp_path / "none.safetensors")]) == 2
    assert "no `cases`" in capsys.readouterr().err

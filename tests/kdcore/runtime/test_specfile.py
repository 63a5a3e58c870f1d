"""A wrong spec is refused with a pointer to the fault."""

import json
from pathlib import Path
from typing import Any

import pytest

from kdcore.runtime.errors import RunError
from kdcore.runtime.specfile import read_spec
from kdcore.spec.run import DistillRun
from tests.kdcore.tiny import HARD, KD, make_spec, stage


def _read(folder: Path, spec: Any) -> RunError | None:
    (folder / "spec.json").write_text(json.dumps(spec))
    try:
        read_spec(folder)
    except RunError as error:
        return error
    return None


def test_a_good_spec_is_read(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(make_spec()))
    assert isinstance(read_spec(tmp_path), DistillRun)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        (
            {"stages": [stage(HARD, {**KD, "temperature": -1})]},
            "out_of_range",
            "/stages/0/objectives/1/temperature",
        ),
        ({"dataset": {"format": "npz"}}, "missing", "/dataset/path"),
        ({"teachers": []}, "teacher_needed", "/teachers"),
        ({"task": "dance"}, "unknown_value", "/task"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    tmp_path: Path, changes: dict[str, Any], code: str, pointer: str
) -> None:
    error = _read(tmp_path, make_spec(**changes))
    assert error is not None and (error.code, error.pointer) == (code, pointer)


def test_the_first_of_several_faults_is_reported_with_the_number_of_others(tmp_path: Path) -> None:
    error = _read(tmp_path, make_spec(seed=-1, seeed=1))
    assert error is not None and error.message.endswith("(and 1 more)")


def test_what_is_not_json_or_not_an_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"seed": 1,}')
    with pytest.raises(RunError, match=r"spec\.json is not JSON: line 1, column 12") as caught:
        read_spec(tmp_path)
    assert caught.value.code == "bad_json"
    error = _read(tmp_path, [1])
    assert error is not None and (error.code, error.pointer) == ("wrong_type", "")


def test_no_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        read_spec(tmp_path)
    assert caught.value.code == "no_spec"

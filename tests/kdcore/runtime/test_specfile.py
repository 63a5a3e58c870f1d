"""A spec that is wrong is refused with a pointer to where."""

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
    ("changes", "pointer"),
    [
        (
            {"stages": [stage(HARD, {**KD, "temperature": -1})]},
            "/stages/0/objectives/1/temperature",
        ),
        ({"stages": [stage(HARD, {"method": "magic"})]}, "/stages/0/objectives/1"),
        ({"stages": [stage(HARD, epochs=0)]}, "/stages/0/epochs"),
        ({"stages": [stage(HARD, optimizer={"name": "sgd", "lr": 1})]}, "/stages/0/optimizer/lr"),
        ({"dataset": {"format": "npz"}}, "/dataset/path"),
        ({"seeed": 1}, "/seeed"),
        ({"teachers": []}, "/teachers"),
        ({"task": "dance"}, ""),
    ],
)
def test_what_is_wrong_is_pointed_at(tmp_path: Path, changes: dict[str, Any], pointer: str) -> None:
    error = _read(tmp_path, make_spec(**changes))
    assert error is not None and (error.code, error.pointer) == ("bad_spec", pointer)


def test_slashes_in_names_are_escaped(tmp_path: Path) -> None:
    error = _read(tmp_path, make_spec(**{"a/b~c": 1}))
    assert error is not None and error.pointer == "/a~1b~0c"


def test_what_is_no_json_or_no_object_is_named(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(RunError) as caught:
        read_spec(tmp_path)
    assert caught.value.code == "bad_json"
    error = _read(tmp_path, [1])
    assert error is not None and error.code == "bad_spec"


def test_no_spec_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        read_spec(tmp_path)
    assert caught.value.code == "no_spec"

"""A spec file is read with every fault at its place, and its paths become a run's."""

import json
from pathlib import Path
from typing import Any

import pytest

from distillery.local.spec import BadFile, read_file_spec, read_network, read_object, run_of
from distillery.sdk.errors import UsageMistake
from kdcore.spec.run import DistillRun, Network

NETWORK = Network(architecture="resnet20", num_classes=4)
SPEC: dict[str, Any] = {
    "student": {"architecture": "resnet8"},
    "teachers": [{"model": "t.safetensors"}],
    "dataset": "data/p.npz",
    "stages": [{"epochs": 1, "objectives": [{"method": "kd"}]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spec's folder with all that SPEC names."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/p.npz").write_bytes(b"arrays")
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text(NETWORK.model_dump_json())
    return tmp_path


def _run(folder: Path, **changes: Any) -> DistillRun:
    path = folder / "spec.json"
    path.write_text(json.dumps(SPEC | changes))
    return run_of(read_file_spec(path), path, device="cpu", threads=1)


def _faults(folder: Path, **changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(BadFile) as caught:
        _run(folder, **changes)
    return [(fault.code, fault.pointer) for fault in caught.value.faults]


def test_paths_are_relative_to_the_spec(folder: Path) -> None:
    run = _run(folder, student={"architecture": "resnet20", "initial_model": "t.safetensors"})
    assert run.dataset.path == str(folder / "data/p.npz") and run.dataset.format == "npz"
    assert run.teachers[0].weights == str(folder / "t.safetensors")
    assert run.student.initial_weights == str(folder / "t.safetensors")
    assert (run.device, run.threads) == ("cpu", 1)


def test_a_network_is_read_beside_its_weights_or_from_the_spec(folder: Path) -> None:
    assert _run(folder).teachers[0].network == NETWORK
    own = NETWORK.model_copy(update={"num_classes": 7})
    (folder / "t.config.json").write_text(own.model_dump_json())  # as `kd models pull` writes it
    assert _run(folder).teachers[0].network == own
    inline = {"path": "t.safetensors", "network": {"architecture": "vgg8", "num_classes": 4}}
    run = _run(folder, teachers=[{"model": inline}])
    assert (run.teachers[0].name, run.teachers[0].network.architecture) == ("t", "vgg8")


def test_every_fault_is_told_with_a_place_in_the_file(folder: Path) -> None:
    stages = [{"epochs": 0, "objectives": [{"method": "kd", "temperature": -1}]}]
    with pytest.raises(BadFile) as caught:
        _run(folder, stages=stages, seeed=1)
    assert str(caught.value).splitlines() == [
        f"{folder / 'spec.json'} is not a job's spec:",
        "  /stages/0/epochs: Input should be greater than or equal to 1",
        "  /stages/0/objectives/0/temperature: Input should be greater than 0",
        "  /seeed: there is no such field",
    ]
    assert caught.value.hint is None  # no one thing to do about different faults


def test_a_run_spec_of_the_core_is_not_a_job_spec(folder: Path) -> None:
    weights = {"weights": "t.safetensors", "network": NETWORK.model_dump()}
    found = _faults(folder, task="distill", teachers=[weights])
    assert found == [
        ("missing", "/teachers/0/model"),
        ("unknown_field", "/teachers/0/weights"),
        ("unknown_field", "/teachers/0/network"),
        ("unknown_field", "/task"),
    ]


def test_a_wrong_network_in_the_spec_has_its_place(folder: Path) -> None:
    inline = {"path": "t.safetensors", "network": {"architecture": "vgg8"}}
    assert _faults(folder, teachers=[{"model": inline}]) == [
        ("missing", "/teachers/0/model/network/num_classes")
    ]


def test_every_file_that_is_missing_is_told(folder: Path) -> None:
    for name in ("t.safetensors", "data/p.npz"):
        (folder / name).unlink()
    student = {"architecture": "resnet8", "initial_model": "data"}
    with pytest.raises(BadFile, match="there is no file") as caught:
        _run(folder, student=student)
    assert [fault.pointer for fault in caught.value.faults] == [
        "/teachers/0/model",
        "/student/initial_model",
        "/dataset",
    ]
    assert "is a folder" in caught.value.faults[1].message
    assert caught.value.hint is not None and "relative paths" in caught.value.hint


def test_a_teacher_without_its_network_is_told_how_to_give_it(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(BadFile, match=r'"network": \{"architecture"'):
        _run(folder)


def test_a_network_beside_the_weights_that_is_none_is_told_of_that_file(folder: Path) -> None:
    (folder / "config.json").write_text('{"architecture": "resnet20"}')
    with pytest.raises(BadFile, match=r"config\.json is not a network's.*\n  /num_classes: "):
        _run(folder)
    with pytest.raises(BadFile):
        read_network(folder / "config.json")


def test_ids_belong_to_a_service(folder: Path) -> None:
    with pytest.raises(BadFile, match=r"ds_1 is an id of a service.*kd jobs submit"):
        _run(folder, dataset="ds_1")


def test_a_dataset_of_unknown_contents_has_its_place(folder: Path) -> None:
    (folder / "data/p.npz").rename(folder / "data/p.txt")
    assert _faults(folder, dataset="data/p.txt") == [("bad_dataset", "/dataset")]
    (folder / "data/train/a").mkdir(parents=True)
    (folder / "data/train/a/1.png").write_bytes(b"")
    assert _run(folder, dataset="data").dataset.format == "folder"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"seed": 1,\n "x"}', "is not JSON: line 2, column 5"),
        (b'{"a": "\xff"}', "is not JSON: byte 8 is not UTF-8"),
        (b"[]", "does not hold a JSON object"),
        (b"3", "does not hold a JSON object"),
    ],
)
def test_what_is_no_json_object_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(content)
    with pytest.raises(UsageMistake, match=words):
        read_object(path)
    path.write_text('{"dataset": "ds_a"}')
    assert read_object(path) == {"dataset": "ds_a"}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(UsageMistake, match=f"{path} cannot be read"):
            read_object(path)

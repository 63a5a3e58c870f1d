"""Checkpoints are whole or not there, verified when read, and the newest good one is found."""

import errno
import os
from pathlib import Path

import pytest
import torch

from kdcore.checkpoint import KEEP, Checkpoints, Snapshot


def _snapshot(number: int) -> Snapshot:
    weight = torch.arange(6.0).reshape(2, 3).t() + number
    return Snapshot({"w": weight, "n": torch.tensor(number)}, {"step": number, "text": "ä"})


def _load(folder: Path) -> tuple[int | None, int]:
    snapshot, complaints = Checkpoints(folder).load()
    return (None if snapshot is None else snapshot.facts["step"]), len(complaints)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(_snapshot(3))
    snapshot, complaints = Checkpoints(tmp_path).load()
    assert snapshot is not None and complaints == []
    assert snapshot.facts == {"step": 3, "text": "ä"}
    assert torch.equal(snapshot.tensors["w"], _snapshot(3).tensors["w"])
    assert snapshot.tensors["n"].shape == ()


def test_the_newest_two_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    paths = [checkpoints.save(_snapshot(n)) for n in range(4)]
    assert [p.exists() for p in paths] == [False, False, True, True]
    assert _load(tmp_path) == (3, 0) and len(list(tmp_path.iterdir())) == KEEP


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "zero", "missing"])
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path: Path, file: str, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_snapshot(1))
    path = checkpoints.save(_snapshot(2)) / file
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x40
    if damage == "cut":
        del data[-5:]
    if damage == "zero":
        data = bytearray(len(data))
    path.write_bytes(data)
    if damage == "missing":
        path.unlink()
    assert _load(tmp_path) == (1, 1)
    assert _load(tmp_path) == (1, 0), "the damaged one was removed"
    assert Checkpoints(tmp_path).save(_snapshot(3)).exists()
    assert _load(tmp_path) == (3, 0)


def test_all_damaged_means_none(tmp_path: Path) -> None:
    path = Checkpoints(tmp_path).save(_snapshot(1))
    (path / "manifest.json").write_text("{}")
    assert _load(tmp_path) == (None, 1)


def test_one_that_was_never_finished_is_not_there(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(_snapshot(1))
    (tmp_path / ".writing-00000002").mkdir()
    (tmp_path / ".writing-00000002" / "state.json").write_text("{")
    assert _load(tmp_path) == (1, 0)
    assert not (tmp_path / ".writing-00000002").exists()


def test_a_full_disk_leaves_the_one_before_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_snapshot(1))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(_snapshot(2))
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["00000001"] and _load(tmp_path) == (1, 0)

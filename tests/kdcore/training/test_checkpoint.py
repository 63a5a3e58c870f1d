"""Checkpoints are complete or absent, verified when read, and the newest valid one is found."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.training.checkpoint import KEEP, Checkpoints, Snapshot


def _snapshot(number: int, identity: str = "this run") -> Snapshot:
    weight = torch.arange(6.0).reshape(2, 3).t() + number
    facts = {"step": number, "text": "ä"}
    return Snapshot({"w": weight, "n": torch.tensor(number)}, facts, {"identity": identity})


def _load(folder: Path, identity: str | None = None) -> tuple[int | None, int]:
    snapshot, warnings = Checkpoints(folder).load(identity)
    return (None if snapshot is None else snapshot.facts["step"]), len(warnings)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path).save(_snapshot(3))
    snapshot, warnings = Checkpoints(tmp_path).load()
    assert snapshot is not None and warnings == []
    assert snapshot.facts == {"step": 3, "text": "ä"} and snapshot.about["identity"] == "this run"
    assert torch.equal(snapshot.tensors["w"], _snapshot(3).tensors["w"])
    assert snapshot.tensors["n"].shape == ()


def test_another_is_due_when_enough_time_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("kdcore.training.checkpoint.time.monotonic", lambda: now_s)
    checkpoints = Checkpoints(tmp_path, every_s=30)
    now_s += 29
    assert not checkpoints.due()
    now_s += 1
    assert checkpoints.due()
    checkpoints.save(_snapshot(1))
    assert not checkpoints.due()


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


@pytest.mark.parametrize(
    "manifest", ["", "[]", "null", "{}", '{"files": []}', '{"files": {"x": 1}}', "\0"]
)
def test_a_manifest_of_any_content_is_a_damaged_checkpoint(tmp_path: Path, manifest: str) -> None:
    Checkpoints(tmp_path).save(_snapshot(1))
    path = Checkpoints(tmp_path).save(_snapshot(2))
    (path / "manifest.json").write_text(manifest)
    assert _load(tmp_path) == (1, 1)


def test_no_flipped_bit_of_a_manifest_goes_unnoticed_and_matters(tmp_path: Path) -> None:
    whole = Checkpoints(tmp_path / "whole")
    whole.save(_snapshot(1))
    size = (whole.save(_snapshot(2)) / "manifest.json").stat().st_size
    for place in range(0, size, 5):
        folder = tmp_path / "flipped"
        shutil.copytree(tmp_path / "whole", folder)
        path = folder / "00000002" / "manifest.json"
        data = bytearray(path.read_bytes())
        data[place] ^= 1 << place % 7
        path.write_bytes(data)
        snapshot, _ = Checkpoints(folder).load("this run")
        assert snapshot is not None and snapshot.about["identity"] == "this run", place
        assert torch.equal(snapshot.tensors["n"], torch.tensor(snapshot.facts["step"])), place
        shutil.rmtree(folder)


def test_the_manifest_of_another_checkpoint_does_not_fit(tmp_path: Path) -> None:
    other = Checkpoints(tmp_path / "other").save(_snapshot(7, "another run"))
    checkpoints = Checkpoints(tmp_path / "own")
    checkpoints.save(_snapshot(1))
    path = checkpoints.save(_snapshot(2))
    shutil.copyfile(other / "manifest.json", path / "manifest.json")
    assert _load(tmp_path / "own") == (1, 1)


def test_another_runs_checkpoint_is_skipped(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_snapshot(1))
    checkpoints.save(_snapshot(2, "another run"))
    assert _load(tmp_path, "this run") == (1, 1) and _load(tmp_path) == (2, 0)
    assert _load(tmp_path, "a third run") == (2, 2), "the newest, for the caller to refuse"


class Order:
    """Records what reaches the disk, in order; raises before the call of the number `dies_at`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dies_at: int = -1) -> None:
        self.calls: list[tuple[str, str]] = []
        self._dies_at = dies_at
        fsync, rename, rmtree = os.fsync, Path.rename, shutil.rmtree

        def watched_fsync(descriptor: int) -> None:
            self._record("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
            fsync(descriptor)

        def watched_rename(path: Path, target: Path) -> Path:
            self._record("rename", str(target))
            return rename(path, target)

        def watched_rmtree(path: Path, **options: Any) -> None:
            self._record("rmtree", str(path))
            rmtree(path, **options)

        monkeypatch.setattr(os, "fsync", watched_fsync)
        monkeypatch.setattr(Path, "rename", watched_rename)
        monkeypatch.setattr(shutil, "rmtree", watched_rmtree)

    def _record(self, call: str, path: str) -> None:
        if len(self.calls) == self._dies_at:
            raise KeyboardInterrupt
        self.calls.append((call, Path(path).name))


def test_everything_is_flushed_before_it_is_named_and_the_old_go_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(monkeypatch)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert order.calls == [("fsync", tmp_path.name)]
    for number in range(3):
        order.calls.clear()
        checkpoints.save(_snapshot(number))
    writing, name = ".writing-00000003", "00000003"
    assert order.calls == [
        ("fsync", "state.safetensors"),
        ("fsync", "state.json"),
        ("fsync", "manifest.json"),
        ("fsync", writing),
        ("rename", name),
        ("fsync", "checkpoints"),
        ("rmtree", "00000001"),
    ]


@pytest.mark.parametrize("dies_at", range(7))
def test_killed_before_any_call_the_newest_complete_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(_snapshot(1))
    checkpoints.save(_snapshot(2))
    with monkeypatch.context() as patch:
        Order(patch, dies_at)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(_snapshot(3))
    assert _load(tmp_path) == (2 if dies_at < 5 else 3, 0)


def test_one_that_was_never_finished_is_removed(tmp_path: Path) -> None:
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

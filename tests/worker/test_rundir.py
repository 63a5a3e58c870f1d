"""Run directories: linked checkpoints, safe artifacts, and what remains after an attempt."""

from pathlib import Path

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.worker.plan import Plan
from distillery.worker.rundir import BadRunDir, RunDir, open_inside, place_blob
from kdcore.spec.run import InspectDatasetRun, RunDataset

SPEC = InspectDatasetRun(dataset=RunDataset(path="inputs/dataset.npz", format="npz"))


def never() -> None:
    """A check that never raises."""


def checkpoint(folder: Path, name: str, text: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "state.json").write_text(text)


def read(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.glob("*/*")}


def lay_out(tmp_path: Path, attempt: int) -> RunDir:
    run_dir = RunDir(tmp_path / "runs", "job_1", attempt)
    run_dir.lay_out(Plan(SPEC, {}), LocalBlobs(tmp_path / "blobs"), never)
    return run_dir


def test_earlier_checkpoints_are_linked_newest_attempt_first(tmp_path: Path) -> None:
    first = lay_out(tmp_path, 1).path / "checkpoints"
    checkpoint(first, "00000001", "one")
    checkpoint(first, "00000002", "two, but damaged")
    second = lay_out(tmp_path, 2).path / "checkpoints"
    (second / "00000002" / "state.json").unlink()
    (second / "00000002" / "state.json").write_text("two, rewritten")
    checkpoint(second, ".writing-00000003", "half")
    (second / "00000004").symlink_to("/etc")
    third = lay_out(tmp_path, 3).path / "checkpoints"
    assert read(third) == {
        "00000001/state.json": "one",
        "00000002/state.json": "two, rewritten",
    }
    inodes = [(f / "00000001/state.json").stat().st_ino for f in (first, third)]
    assert inodes[0] == inodes[1], "linked, not copied"


def test_laying_out_again_starts_with_an_empty_directory(tmp_path: Path) -> None:
    (lay_out(tmp_path, 1).path / "out/left").write_text("over")
    assert not (lay_out(tmp_path, 1).path / "out/left").exists()


def test_a_failed_attempt_keeps_its_log_and_the_newest_checkpoints(tmp_path: Path) -> None:
    checkpoint(lay_out(tmp_path, 1).path / "checkpoints", "00000001", "one")
    second = lay_out(tmp_path, 2)
    (second.path / "run.log").write_text("log")
    second.tidy(forget=False)
    assert sorted(p.name for p in second.path.iterdir()) == ["checkpoints", "run.log", "spec.json"]
    assert read(second.path / "checkpoints") == {"00000001/state.json": "one"}
    assert not (tmp_path / "runs/job_1/1/checkpoints").exists()


def test_an_attempt_that_failed_before_linking_deletes_no_checkpoint(
    tmp_path: Path,
) -> None:
    checkpoint(lay_out(tmp_path, 1).path / "checkpoints", "00000001", "one")
    RunDir(tmp_path / "runs", "job_1", 2).tidy(forget=False)
    assert (tmp_path / "runs/job_1/1/checkpoints/00000001").is_dir()


@pytest.mark.parametrize("linked", [True, False])
def test_blobs_are_verified_whether_linked_or_copied(
    tmp_path: Path, linked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    stored = blobs.put_stream([b"bytes"])
    if not linked:
        monkeypatch.setattr(blobs, "path_of", lambda _: None)
    place_blob(blobs, stored.sha256, tmp_path / "good", never)
    assert (tmp_path / "good").read_bytes() == b"bytes"
    [path] = blobs.root.glob("??/??/*")
    path.chmod(0o600)
    path.write_bytes(b"other")
    with pytest.raises(BadRunDir, match="damaged"):
        place_blob(blobs, stored.sha256, tmp_path / "bad", never)


@pytest.mark.parametrize("name", ["", "/etc/hostname", "../x", "a/../../x", "missing", "folder"])
def test_names_outside_the_folder_or_without_a_file_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "in/folder").mkdir(parents=True)
    with pytest.raises(BadRunDir):
        open_inside(tmp_path / "in", name)

"""Teacher outputs in run directories: placed, copied from earlier attempts, stored."""

import json
from pathlib import Path

from distillery.store.blobs.blobs import LocalBlobs
from distillery.worker.outputs import TeacherOutputFiles

KEY, TEACHER = "1" * 64, "a" * 64


def never() -> None:
    """A check that never raises."""


def make_dir(tmp_path: Path, attempt: int = 1) -> Path:
    path = tmp_path / "job_1" / str(attempt)
    path.mkdir(parents=True)
    return path


def file_of(teacher: object, body: bytes = b"x") -> bytes:
    """The bytes of a file whose header names its teacher."""
    facts = json.dumps({"teachers": [{"weights": teacher}]})
    header = json.dumps({"__metadata__": {"facts": facts}}).encode()
    return len(header).to_bytes(8, "little") + header + body


def store_new(outputs: TeacherOutputFiles, blobs: LocalBlobs) -> list[tuple[str, str, int]]:
    new = outputs.store_new({TEACHER}, "d" * 64, blobs, never)
    return [(output.key, output.teacher, output.size) for output in new]


def test_only_new_or_extended_files_are_stored(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    kept = blobs.put_stream([file_of(TEACHER)])
    run_dir = make_dir(tmp_path)
    outputs = TeacherOutputFiles(run_dir)
    folder = run_dir / "teacher_outputs"
    names = {key: f"teacher_outputs/{key * 64}.safetensors" for key in "123"}
    outputs.lay_out({names["1"]: kept.sha256, names["2"]: kept.sha256}, blobs, never)
    assert outputs.used == ["1" * 64, "2" * 64]
    assert store_new(outputs, blobs) == []
    for key in "23":
        grown = folder / "grown.writing"
        grown.write_bytes(file_of(TEACHER, b"more"))
        grown.replace(run_dir / names[key])
    size = len(file_of(TEACHER, b"more"))
    assert store_new(outputs, blobs) == [("2" * 64, TEACHER, size), ("3" * 64, TEACHER, size)]
    assert blobs.verify(kept.sha256), "the stored file is not modified"


def test_invalid_files_are_not_stored(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    run_dir = make_dir(tmp_path)
    outputs = TeacherOutputFiles(run_dir)
    outputs.lay_out({}, blobs, never)
    folder = run_dir / "teacher_outputs"
    secret = tmp_path / "secret"
    secret.write_bytes(file_of(TEACHER))
    (folder / f"{'4' * 64}.safetensors").symlink_to(secret)
    (folder / f"{'5' * 64}.safetensors").mkdir()
    (folder / f"{'6' * 64}.safetensors").write_bytes(b"\xff" * 40)
    (folder / f"{'7' * 64}.safetensors").write_bytes(file_of("b" * 64))
    (folder / f"{'8' * 64}.safetensors").write_bytes(file_of({"a": 1}))
    (folder / "short.safetensors").write_bytes(file_of(TEACHER))
    (folder / f"{'9' * 64}.writing").write_bytes(file_of(TEACHER))
    assert store_new(outputs, blobs) == []


def test_missing_and_damaged_files_are_left_out(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    damaged = blobs.put_stream([b"sound"])
    place = blobs.path_of(damaged.sha256)
    assert place is not None
    place.chmod(0o644)
    place.write_bytes(b"sour")
    run_dir = make_dir(tmp_path)
    outputs = TeacherOutputFiles(run_dir)
    wanted = {"teacher_outputs/a.safetensors": damaged.sha256}
    outputs.lay_out({**wanted, "teacher_outputs/b.safetensors": "c" * 64}, blobs, never)
    assert outputs.used == [] and list((run_dir / "teacher_outputs").iterdir()) == []


def test_a_later_attempt_continues_unfinished_files(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs")
    for attempt, text in ((1, "older"), (2, "newer")):
        folder = make_dir(tmp_path, attempt) / "teacher_outputs"
        folder.mkdir()
        (folder / f"{KEY}.writing").write_text(text)
    (tmp_path / "job_1/1/teacher_outputs/first.writing").write_text("first")
    run_dir = make_dir(tmp_path, 3)
    TeacherOutputFiles(run_dir).lay_out({}, blobs, never)
    found = {p.name: p.read_text() for p in (run_dir / "teacher_outputs").iterdir()}
    assert found == {f"{KEY}.writing": "newer", "first.writing": "first"}

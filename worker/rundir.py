"""Run directories, KD_RUN_DIR/<job>/<attempt>: laid out for a run, and its results brought home."""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pydantic import ValidationError

from distillery.store.blobs.blobs import Blobs, HashMismatch, Stored
from distillery.wire.job_codes import JobCode
from distillery.worker.plan import Plan
from kdcore.spec.result import RUN_RESULT, InspectDatasetResult, RunArtifact, RunResult
from kdcore.spec.run import (
    CHECKPOINT_DIR,
    OUT_DIR,
    RESULT_FILE,
    SPEC_FILE,
)

INPUTS = "inputs"
RESULT_BYTES = 64 << 20
CHUNK_BYTES = 1 << 20

Check = Callable[[], None]


class BadRunDir(RuntimeError):
    """What lies in storage or came out of a run is not what it should be."""

    def __init__(self, code: JobCode, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


class RunDir:
    """One attempt's directory."""

    def __init__(self, runs: Path, job_id: str, attempt: int):
        self.job = runs / job_id
        self.attempt = attempt
        self.path = self.job / str(attempt)
        self._has_links = False

    def lay_out(self, plan: Plan, blobs: Blobs, check: Check, process: Path | None = None) -> None:
        """Make the directory: inputs verified, earlier checkpoints linked, the spec last. `check`
        is called often and stops it by raising. `process`: a directory on the same disk, where the
        run waits already, to be moved here."""
        # Left over when a worker died between claiming and this; nothing runs in it now.
        shutil.rmtree(self.path, ignore_errors=True)
        if process is not None:
            self.job.mkdir(mode=0o700, parents=True, exist_ok=True)
            process.rename(self.path)
        for folder in (INPUTS, CHECKPOINT_DIR, OUT_DIR):
            (self.path / folder).mkdir(mode=0o700, parents=True)
        for number in range(self.attempt - 1, 0, -1):
            link_checkpoints(self.job / str(number) / CHECKPOINT_DIR, self.path / CHECKPOINT_DIR)
        self._has_links = True
        for name, sha256 in plan.inputs.items():
            place_blob(blobs, sha256, self.path / name, check)
        (self.path / SPEC_FILE).write_text(plan.spec.model_dump_json(indent=1), encoding="utf-8")

    def result(self, task: str) -> RunResult:
        """What the run says it found. Raises BadRunDir."""
        with open_inside(self.path, RESULT_FILE) as file:
            raw = file.read(RESULT_BYTES + 1)
        try:
            result = RUN_RESULT.validate_json(raw)
        except ValidationError as error:
            raise BadRunDir(JobCode.BAD_RESULT, f"result.json is not a result: {error}") from error
        names = [artifact.path for artifact in artifacts_of(result)]
        if len(raw) > RESULT_BYTES or result.task != task or len(names) != len(set(names)):
            raise BadRunDir(JobCode.BAD_RESULT, f"result.json is not the result of a {task}")
        return result

    def store_artifacts(self, artifact: RunArtifact, blobs: Blobs, check: Check) -> Stored:
        """Keep a file that the result names; its bytes are hashed again. Raises BadRunDir."""
        chunks = read_inside(self.path, f"{OUT_DIR}/{artifact.path}", check)
        try:
            stored = blobs.put_stream(chunks, expected=artifact.sha256)
        except HashMismatch as error:
            raise BadRunDir(JobCode.BAD_ARTIFACT, f"{artifact.path}: {error}") from error
        if stored.size != artifact.size_bytes:
            raise BadRunDir(
                JobCode.BAD_ARTIFACT, f"{artifact.path} is not of the size it was said to be"
            )
        return stored

    def tidy(self, *, forget: bool) -> None:
        """After the attempt: `forget` the job's every attempt, or keep what a later attempt or a
        person may need: the log, the events and the newest checkpoints."""
        if forget:
            shutil.rmtree(self.job, ignore_errors=True)
            return
        for folder in (INPUTS, OUT_DIR, "tmp"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for number in range(1, self.attempt) if self._has_links else ():
            shutil.rmtree(self.job / str(number) / CHECKPOINT_DIR, ignore_errors=True)


def artifacts_of(result: RunResult) -> tuple[RunArtifact, ...]:
    """The files a result names; an inspected dataset's has none."""
    return () if isinstance(result, InspectDatasetResult) else result.artifacts


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below `folder` without following any link on the way.

    Raises BadRunDir for anything else: the run chose the name, and what lies there.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise BadRunDir(
            JobCode.UNSAFE_ARTIFACT, f"{name!r} does not name a file below {folder.name}"
        )
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe must not wait
    handle = os.open(folder, os.O_RDONLY)
    try:
        for part in parts:
            inner = os.open(part, flags, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is not a regular file")
    except OSError as error:
        os.close(handle)
        raise BadRunDir(JobCode.UNSAFE_ARTIFACT, f"{name}: {error.strerror or error}") from error
    return os.fdopen(handle, "rb")


def read_inside(folder: Path, name: str, check: Check) -> Iterator[bytes]:
    """Such a file's bytes in chunks; `check` may stop it by raising."""
    with open_inside(folder, name) as file:
        while chunk := file.read(CHUNK_BYTES):
            check()
            yield chunk


def place_blob(blobs: Blobs, sha256: str, target: Path, check: Check) -> None:
    """Put a blob at `target`, by hard link where that is possible, and verify its hash."""
    source = blobs.path_of(sha256)
    digest = hashlib.sha256()
    if source is not None and _link(source, target):
        with target.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                check()
                digest.update(chunk)
    else:
        with target.open("xb") as file:
            for chunk in blobs.open(sha256):
                check()
                digest.update(chunk)
                file.write(chunk)
    if digest.hexdigest() != sha256:
        raise BadRunDir(JobCode.BLOB_DAMAGED, f"blob {sha256} is damaged in storage")


def link_checkpoints(source: Path, target: Path) -> None:
    """Hard-link (or copy) every whole checkpoint below `source` to `target`, unless one of its name
    is there already. Regular files alone; a name with a leading dot is half-written."""
    for checkpoint in sorted(source.iterdir()) if source.is_dir() else ():
        place = target / checkpoint.name
        if checkpoint.name.startswith(".") or checkpoint.is_symlink() or place.exists():
            continue
        for folder, _, names in os.walk(checkpoint):
            here = place / Path(folder).relative_to(checkpoint)
            here.mkdir()
            for path in (Path(folder, name) for name in names):
                if stat.S_ISREG(path.lstat().st_mode) and not _link(path, here / path.name):
                    shutil.copyfile(path, here / path.name)


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False  # another disk, or one that has no links
    return True

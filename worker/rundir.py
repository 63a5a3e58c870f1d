"""Run directories, KD_RUN_DIR/<job>/<attempt>: lays out a run's inputs and reads its results."""

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
    """A blob is damaged, or a run left a result that is not valid."""

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

    def lay_out(self, plan: Plan, blobs: Blobs, check: Check, warm: Path | None = None) -> None:
        """Create the directory with verified inputs, links to earlier checkpoints, and the spec.

        `check` is called often and aborts by raising. `warm`: the directory of a warm process, on
        the same disk, which is moved here.
        """
        # Left by a worker that died between its claim and its run; no process uses it.
        shutil.rmtree(self.path, ignore_errors=True)
        if warm is not None:
            self.job.mkdir(mode=0o700, parents=True, exist_ok=True)
            warm.rename(self.path)
        for folder in (INPUTS, CHECKPOINT_DIR, OUT_DIR):
            (self.path / folder).mkdir(mode=0o700, parents=True)
        for number in range(self.attempt - 1, 0, -1):
            link_checkpoints(self.job / str(number) / CHECKPOINT_DIR, self.path / CHECKPOINT_DIR)
        self._has_links = True
        for name, sha256 in plan.inputs.items():
            place_blob(blobs, sha256, self.path / name, check)
        (self.path / SPEC_FILE).write_text(plan.spec.model_dump_json(indent=1), encoding="utf-8")

    def result(self, task: str) -> RunResult:
        """Read and validate result.json. Raises BadRunDir."""
        with open_inside(self.path, RESULT_FILE) as file:
            raw = file.read(RESULT_BYTES + 1)
        try:
            result = RUN_RESULT.validate_json(raw)
        except ValidationError as error:
            raise BadRunDir(
                JobCode.BAD_RESULT, f"result.json is not a valid result: {error}"
            ) from error
        names = [artifact.path for artifact in artifacts_of(result)]
        if len(raw) > RESULT_BYTES or result.task != task or len(names) != len(set(names)):
            raise BadRunDir(JobCode.BAD_RESULT, f"result.json is not the result of a {task}")
        return result

    def store_artifact(self, artifact: RunArtifact, blobs: Blobs, check: Check) -> Stored:
        """Store a file that the result names, after hashing it again. Raises BadRunDir."""
        chunks = read_inside(self.path, f"{OUT_DIR}/{artifact.path}", check)
        try:
            stored = blobs.put_stream(chunks, expected=artifact.sha256)
        except HashMismatch as error:
            raise BadRunDir(JobCode.BAD_ARTIFACT, f"{artifact.path}: {error}") from error
        if stored.size != artifact.size_bytes:
            raise BadRunDir(
                JobCode.BAD_ARTIFACT, f"{artifact.path} has another size than in result.json"
            )
        return stored

    def tidy(self, *, forget: bool) -> None:
        """Clean up after the attempt: with `forget`, delete all attempts of the job; otherwise keep
        the log, the events and the newest checkpoints, for later attempts and for debugging."""
        if forget:
            shutil.rmtree(self.job, ignore_errors=True)
            return
        for folder in (INPUTS, OUT_DIR, "tmp"):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for number in range(1, self.attempt) if self._has_links else ():
            shutil.rmtree(self.job / str(number) / CHECKPOINT_DIR, ignore_errors=True)


def artifacts_of(result: RunResult) -> tuple[RunArtifact, ...]:
    """The files that a result names; the result of an inspected dataset names none."""
    return () if isinstance(result, InspectDatasetResult) else result.artifacts


def open_inside(folder: Path, name: str) -> BinaryIO:
    """Open a regular file below `folder` without following links.

    The run chose the name and the contents, so anything else raises BadRunDir.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise BadRunDir(
            JobCode.UNSAFE_ARTIFACT, f"{name!r} does not name a file below {folder.name}"
        )
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe must not block
    handle = os.open(folder, os.O_RDONLY)
    try:
        for part in parts:
            inner = os.open(part, flags, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("not a regular file")
    except OSError as error:
        os.close(handle)
        raise BadRunDir(JobCode.UNSAFE_ARTIFACT, f"{name}: {error.strerror or error}") from error
    return os.fdopen(handle, "rb")


def read_inside(folder: Path, name: str, check: Check) -> Iterator[bytes]:
    """Yield the bytes of a file opened by `open_inside`; `check` may abort by raising."""
    with open_inside(folder, name) as file:
        while chunk := file.read(CHUNK_BYTES):
            check()
            yield chunk


def place_blob(blobs: Blobs, sha256: str, target: Path, check: Check) -> None:
    """Hard-link (or copy) a blob to `target` and verify its hash."""
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
    """Hard-link (or copy) every complete checkpoint of `source` into `target`, except names that
    exist there. A name with a leading dot is incomplete. Only regular files are linked."""
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
        return False  # another disk, or a file system without links
    return True

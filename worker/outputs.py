"""Teacher outputs in a run directory: places those of earlier jobs and stores new ones."""

import json
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from distillery.store.blobs.blobs import Blobs
from distillery.store.catalog.teacher_outputs import NewOutput
from distillery.store.errors import NotFound
from distillery.worker.rundir import BadRunDir, Check, open_inside, place_blob, read_inside
from kdcore.spec.run import TEACHER_OUTPUTS_DIR

HEADER_BYTES = 1 << 20


class TeacherOutputFiles:
    """The files of teacher outputs in one run directory."""

    def __init__(self, run_dir: Path):
        self._run_dir = run_dir
        self._placed: dict[str, int] = {}  # inodes of the files that earlier jobs stored

    @property
    def used(self) -> list[str]:
        """Keys of the files that were placed before the run started."""
        return [Path(name).stem for name in self._placed]

    def lay_out(self, outputs: dict[str, str], blobs: Blobs, check: Check) -> None:
        """Place files (path -> sha256) and copy the unfinished ones of the job's earlier attempts.

        Missing and damaged files are left out; the run computes them again.
        """
        folder = self._run_dir / TEACHER_OUTPUTS_DIR
        folder.mkdir(mode=0o700)
        for number in range(int(self._run_dir.name) - 1, 0, -1):
            earlier = self._run_dir.parent / str(number) / TEACHER_OUTPUTS_DIR
            _copy_unfinished(earlier, folder)
        for name, sha256 in outputs.items():
            place = self._run_dir / name
            try:
                place_blob(blobs, sha256, place, check)
            except (NotFound, BadRunDir):
                place.unlink(missing_ok=True)
            else:
                self._placed[name] = place.stat().st_ino

    def store_new(
        self, teachers: Collection[str], dataset: str, blobs: Blobs, check: Check
    ) -> Iterator[NewOutput]:
        """Store the files of these teachers that the run created or extended, yielding each one."""
        for path in sorted((self._run_dir / TEACHER_OUTPUTS_DIR).glob("*.safetensors")):
            name = f"{TEACHER_OUTPUTS_DIR}/{path.name}"
            if path.lstat().st_ino == self._placed.get(name):
                continue
            teacher = self._teacher_of(name)
            if teacher in teachers and re.fullmatch("[0-9a-f]{64}", path.stem):
                stored = blobs.put_stream(read_inside(self._run_dir, name, check))
                yield NewOutput(path.stem, teacher, dataset, stored.sha256, stored.size)

    def _teacher_of(self, name: str) -> str:
        """The sha256 of the (first) teacher named in a file's header; empty if it names none."""
        try:
            with open_inside(self._run_dir, name) as file:
                length = min(int.from_bytes(file.read(8), "little"), HEADER_BYTES)
                facts = json.loads(json.loads(file.read(length))["__metadata__"]["facts"])
            return str(facts["teachers"][0]["weights"])
        except (BadRunDir, ValueError, LookupError, TypeError, RecursionError):
            return ""


def _copy_unfinished(source: Path, target: Path) -> None:
    for path in sorted(source.glob("*.writing")):
        place = target / path.name
        if stat.S_ISREG(path.lstat().st_mode) and not place.exists():
            shutil.copyfile(path, place)

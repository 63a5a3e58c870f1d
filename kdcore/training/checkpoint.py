"""Checkpoints on disk: a directory each, complete or absent, verified when read.

    checkpoints/00000007/state.safetensors  tensors
                         state.json         everything else
                         manifest.json      sha256 and size of both, the identity of the run, and
                                            the machine it ran on; written last

A checkpoint is written under a temporary name; its files and the directory are flushed to disk; it
is renamed; its parent is flushed. The newest two are kept. Nothing is pickled.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from kdcore.runtime.atomic_write import sync_folder
from kdcore.runtime.hashing import json_sha256
from kdcore.runtime.named_tensors import copy_to_cpu
from kdcore.spec.failpoints import failpoint

KEEP = 2
MANIFEST = "manifest.json"
_TENSORS, _FACTS = "state.safetensors", "state.json"
_TEMPORARY = ".writing-"


@dataclass(frozen=True)
class Snapshot:
    """The whole state of a run at a step boundary: tensors by name, and JSON values.

    `about`: further entries of the manifest: `identity` and `machine`.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run directory; another is due `every_s` seconds after the last."""

    def __init__(self, folder: Path, every_s: float = 0.0) -> None:
        self._folder = folder
        self._every_s = every_s
        self._saved_s = time.monotonic()
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            sync_folder(folder.parent)  # else a power cut could lose the folder and its contents
        for leftover in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover)

    def due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return time.monotonic() - self._saved_s >= self._every_s

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint; it is safely on disk when this returns. Raises OSError."""
        numbers = [int(p.name) for p in self._all()]
        name = f"{max(numbers, default=0) + 1:08d}"
        writing = self._folder / f"{_TEMPORARY}{name}"
        try:
            writing.mkdir()
            _write(writing, _files(snapshot))
            final = self._folder / name
            failpoint("checkpoint.renaming")
            writing.rename(final)
        except OSError:
            shutil.rmtree(writing, ignore_errors=True)
            raise
        failpoint("checkpoint.renamed")
        sync_folder(self._folder)
        for old in self._all()[:-KEEP]:
            shutil.rmtree(old)
        self._saved_s = time.monotonic()
        failpoint("checkpoint.made")
        return final

    def load(self, identity: str | None = None) -> tuple[Snapshot | None, list[str]]:
        """The newest valid checkpoint, or None; and warnings about those it did not return.

        Damaged ones are removed, so that the two that are kept are valid. With an `identity`,
        checkpoints of other runs are skipped; if there are no others, the newest of them is
        returned, for the caller to refuse.
        """
        warnings: list[str] = []
        foreign: Snapshot | None = None
        for path in reversed(self._all()):
            try:
                snapshot = _read(path)
            except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
                warnings.append(f"checkpoint {path.name} is damaged and was removed: {error}")
                shutil.rmtree(path, ignore_errors=True)
                continue
            if identity in (None, snapshot.about.get("identity")):
                return snapshot, warnings
            warnings.append(f"checkpoint {path.name} belongs to another run and was skipped")
            foreign = foreign or snapshot
        return foreign, warnings

    def _all(self) -> list[Path]:
        return sorted(p for p in self._folder.iterdir() if p.name.isdigit())


def _files(snapshot: Snapshot) -> dict[str, bytes]:
    files = {
        _TENSORS: safetensors.torch.save(copy_to_cpu(snapshot.tensors)),
        _FACTS: json.dumps(snapshot.facts).encode(),
    }
    manifest: dict[str, Any] = {
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
            for name, data in files.items()
        },
        **snapshot.about,
    }
    signed = {**manifest, "sha256": json_sha256(manifest)}  # of everything else in it
    return {**files, MANIFEST: json.dumps(signed, indent=1).encode()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        with (folder / name).open("wb") as file:
            file.write(data[: len(data) // 2])
            if name == _FACTS:
                file.flush()
                failpoint("checkpoint.writing")
            file.write(data[len(data) // 2 :])
            file.flush()
            if name == MANIFEST:
                failpoint("checkpoint.syncing")
            os.fsync(file.fileno())
    sync_folder(folder)


def _read(path: Path) -> Snapshot:
    manifest = json.loads((path / MANIFEST).read_bytes())
    if not isinstance(manifest, dict):
        raise ValueError(f"{MANIFEST} is not an object")
    if manifest.pop("sha256") != json_sha256(manifest):
        raise ValueError(f"{MANIFEST} does not match its own hash")
    files = manifest.pop("files")
    data = {}
    for name in (_TENSORS, _FACTS):
        data[name] = (path / name).read_bytes()
        if hashlib.sha256(data[name]).hexdigest() != files[name]["sha256"]:
            raise ValueError(f"{name} does not match the hash in {MANIFEST}")
    return Snapshot(safetensors.torch.load(data[_TENSORS]), json.loads(data[_FACTS]), manifest)

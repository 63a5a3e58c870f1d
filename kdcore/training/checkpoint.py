"""Checkpoints on disk: a directory each, whole or not there, verified when read.

    checkpoints/00000007/state.safetensors  tensors
                         state.json         everything else
                         manifest.json      sha256 and size of both, which run they are of, and
                                            on what machine it was; written last

Written under a temporary name, every file and the directory flushed to disk, then renamed, then
the parent flushed. The newest two stay. Nothing is pickled.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from kdcore.spec.failpoints import failpoint

KEEP = 2
MANIFEST = "manifest.json"
_TENSORS, _FACTS = "state.safetensors", "state.json"
_TEMPORARY = ".writing-"


@dataclass(frozen=True)
class Snapshot:
    """All state of a run at a step boundary: tensors by name, and JSON values. `about`: what the
    manifest says besides, for people and for `Checkpoints.load`."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run directory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _flush(folder.parent)  # else a power cut could take the folder, with all that is in it
        for leftover in folder.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(leftover)

    def save(self, snapshot: Snapshot) -> Path:
        """Write a checkpoint; when this returns it is safely on disk. Raises OSError."""
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
        _flush(self._folder)
        for old in self._all()[:-KEEP]:
            shutil.rmtree(old)
        failpoint("checkpoint.made")
        return final

    def load(self, identity: str | None = None) -> tuple[Snapshot | None, list[str]]:
        """The newest valid checkpoint, or None; and what was found damaged, in words.

        Damaged ones are removed, so that keeping two means two good ones. With an `identity`, those
        of other runs come last: where there are no others, the newest of them is given.
        """
        complaints: list[str] = []
        foreign: Snapshot | None = None
        for path in reversed(self._all()):
            try:
                snapshot = _read(path)
            except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
                complaints.append(f"checkpoint {path.name} is damaged and was removed: {error}")
                shutil.rmtree(path, ignore_errors=True)
                continue
            if identity in (None, snapshot.about.get("identity", identity)):
                return snapshot, complaints
            complaints.append(f"checkpoint {path.name} is of another run and was passed over")
            foreign = foreign or snapshot
        return foreign, complaints

    def _all(self) -> list[Path]:
        return sorted(p for p in self._folder.iterdir() if p.name.isdigit())


def _files(snapshot: Snapshot) -> dict[str, bytes]:
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in snapshot.tensors.items()}
    files = {
        _TENSORS: safetensors.torch.save(tensors),
        _FACTS: json.dumps(snapshot.facts).encode(),
    }
    manifest: dict[str, Any] = {
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
            for name, data in files.items()
        },
        **snapshot.about,
    }
    signed = {**manifest, "sha256": _digest(manifest)}
    return {**files, MANIFEST: json.dumps(signed, indent=1).encode()}


def _digest(manifest: Mapping[str, Any]) -> str:
    """Of all that a manifest says but this."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


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
    _flush(folder)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Snapshot:
    manifest = json.loads((path / MANIFEST).read_bytes())
    if not isinstance(manifest, dict):
        raise ValueError("the manifest is no object")
    said = manifest.pop("sha256", None)  # checkpoints were written without it once
    if said is not None and said != _digest(manifest):
        raise ValueError("the manifest does not have the hash it says")
    files = manifest.pop("files")
    data = {}
    for name in (_TENSORS, _FACTS):
        data[name] = (path / name).read_bytes()
        if hashlib.sha256(data[name]).hexdigest() != files[name]["sha256"]:
            raise ValueError(f"{name} does not have the hash its manifest says")
    return Snapshot(safetensors.torch.load(data[_TENSORS]), json.loads(data[_FACTS]), manifest)

"""Stores one reading of one teacher for every sample and view on disk, in half precision.

A file `KEY.safetensors` holds `values` (V, N, F), float16, and `present` (V, N), uint8. The
metadata in its header hold the facts that KEY is the hash of, and the sha256 of the bytes after the
header. While it is being filled it is called `KEY.writing`. Both are memory-mapped.

F: features, N: samples of the split, V: views; B: batch.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from kdcore.runtime.hashing import json_sha256

FORMAT = 1
HALF_MAX = 65504.0
_UNKNOWN = "0" * 64
_CHUNK_BYTES = 1 << 20


def output_key(facts: Mapping[str, Any]) -> str:
    """The name of the file that these facts (JSON values) describe: a sha256, in hex."""
    return json_sha256({"format": FORMAT, **facts})


def to_half(values: Tensor) -> Tensor:
    """Round to half precision, clamped to its range; exact for bfloat16 values above 6e-8."""
    return values.float().clamp(-HALF_MAX, HALF_MAX).half()


class OutputFile:
    """Opens or creates the file of `facts` in a folder.

    A damaged file is removed and created again; `warning` then describes it.
    """

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], views: int, samples: int, features: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.key = output_key(facts)
        self.warning: str | None = None
        self._final = folder / f"{self.key}.safetensors"
        self._writing = folder / f"{self.key}.writing"
        self._facts = dict(facts)
        self._shape = (views, samples, features)
        self._changed = False  # whether there is an unfinished file
        self._open()

    def has(self, view: int, index_B: Tensor) -> Tensor:
        """Which of these samples are stored; `index_B` is on the CPU."""
        return self._present_VN[view][index_B]

    def get(self, view: int, index_B: Tensor) -> Tensor:
        """The values of stored samples, float32, on the CPU."""
        return self._values_VNF[view][index_B].float()

    def put(self, view: int, index_B: Tensor, values_BF: Tensor) -> None:
        """Store values; they are safely on disk after the next `flush`."""
        if not self._changed:
            self._start_writing()
        self._values_VNF[view][index_B] = to_half(values_BF).cpu()
        self._present_VN[view][index_B] = True

    def flush(self) -> None:
        """Flush what was put to disk: first the values, then the marks that they are present."""
        if self._changed:
            self._map.flush()
            self._marks_VN[:] = self._present_VN.numpy()
            self._map.flush()

    def finish(self) -> None:
        """If anything was put, write the hash of the bytes and give the file its final name."""
        if not self._changed:
            return
        self.flush()
        with self._writing.open("r+b") as file:
            file.seek(len(self._header_bytes(_UNKNOWN)))
            digest = _digest(file)
            file.seek(0)
            file.write(self._header_bytes(digest))
            os.fsync(file.fileno())
        self._writing.replace(self._final)
        self._changed = False

    def _open(self) -> None:
        if self._writing.exists() and self._is_valid(self._writing, verify=False):
            self._attach(self._writing, "r+")
            self._changed = True
            return
        if self._final.exists() and self._is_valid(self._final, verify=True):
            self._attach(self._final, "c")
            return
        views, samples, _ = self._shape
        self._values_VNF = torch.empty(0)
        self._present_VN = torch.zeros(views, samples, dtype=torch.bool)

    def _is_valid(self, path: Path, verify: bool) -> bool:
        header = self._header_bytes(_UNKNOWN)
        with path.open("rb") as file:
            found = file.read(len(header))
            digest = _digest(file) if verify else _UNKNOWN
        if found == self._header_bytes(digest) and path.stat().st_size == self._bytes():
            return True
        self.warning = (
            f"the cached teacher outputs {path.name} were damaged; they are computed again"
        )
        path.unlink()
        return False

    def _start_writing(self) -> None:
        if self._final.exists():
            shutil.copyfile(self._final, self._writing)
        with self._writing.open("r+b" if self._writing.exists() else "wb") as file:
            file.write(self._header_bytes(_UNKNOWN))
            file.truncate(self._bytes())
        self._attach(self._writing, "r+")
        self._changed = True

    def _attach(self, path: Path, mode: Literal["r+", "c"]) -> None:
        views, samples, features = self._shape
        offset = len(self._header_bytes(_UNKNOWN))
        self._map = np.memmap(path, np.uint8, mode=mode, offset=offset)
        split = 2 * views * samples * features
        values = self._map[:split].view(np.float16).reshape(self._shape)
        self._marks_VN = self._map[split:].reshape(views, samples)
        self._values_VNF = torch.from_numpy(values)
        self._present_VN = torch.from_numpy(self._marks_VN.astype(np.bool_))

    def _bytes(self) -> int:
        views, samples, features = self._shape
        return len(self._header_bytes(_UNKNOWN)) + views * samples * (2 * features + 1)

    def _header_bytes(self, digest: str) -> bytes:
        views, samples, features = self._shape
        split = 2 * views * samples * features
        header = {
            "__metadata__": {
                "facts": json.dumps({"format": FORMAT, **self._facts}, sort_keys=True),
                "sha256": digest,
            },
            "values": {"dtype": "F16", "shape": list(self._shape), "data_offsets": [0, split]},
            "present": {
                "dtype": "U8",
                "shape": [views, samples],
                "data_offsets": [split, split + views * samples],
            },
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text


def _digest(file: Any) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()

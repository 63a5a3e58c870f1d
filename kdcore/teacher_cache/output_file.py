"""One reading of one teacher for every sample and view, kept on disk in half precision.

A file is a safetensors file, `KEY.safetensors`, of `values` (V, N, F), float16, and `present`
(V, N), uint8; its header's metadata hold the facts that KEY is the hash of and the sha256 of the
bytes behind the header. While it is being filled it is `KEY.writing`. Both are memory-mapped.

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

FORMAT = 1
HALF_MAX = 65504.0
_UNKNOWN = "0" * 64
_CHUNK_BYTES = 1 << 20


def key_of(facts: Mapping[str, Any]) -> str:
    """The name of what these facts (JSON values) describe: a sha256, in hex."""
    said = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def to_half(values: Tensor) -> Tensor:
    """The values in half precision, clamped to its range; exact for bfloat16 above 6e-8."""
    return values.float().clamp(-HALF_MAX, HALF_MAX).half()


class OutputFile:
    """Opens, or begins, the file of `facts` in a folder.

    A damaged file is removed and begun anew; `complaint` says so then.
    """

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], views: int, samples: int, features: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.key = key_of(facts)
        self.complaint: str | None = None
        self._final = folder / f"{self.key}.safetensors"
        self._writing = folder / f"{self.key}.writing"
        self._facts = dict(facts)
        self._shape = (views, samples, features)
        self._changed = False  # there is a file being written, which is not safe yet
        self._open()

    def has(self, view: int, index_B: Tensor) -> Tensor:
        """Which of these samples (on the CPU) are kept."""
        return self._present_VN[view][index_B]

    def get(self, view: int, index_B: Tensor) -> Tensor:
        """Their values, float32, on the CPU. They must be kept."""
        return self._values_VNF[view][index_B].float()

    def put(self, view: int, index_B: Tensor, values_BF: Tensor) -> None:
        """Keep values; safely on disk with the next `flush`."""
        if not self._changed:
            self._begin_to_write()
        self._values_VNF[view][index_B] = to_half(values_BF).cpu()
        self._present_VN[view][index_B] = True

    def flush(self) -> None:
        """Bring to disk what was put: the values first, then which they are."""
        if self._changed:
            self._map.flush()
            self._marks_VN[:] = self._present_VN.numpy()
            self._map.flush()

    def finish(self) -> None:
        """Give the file its final name, with the hash of its bytes, if anything was put."""
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
        if self._writing.exists() and self._sound(self._writing, verify=False):
            self._attach(self._writing, "r+")
            self._changed = True
            return
        if self._final.exists() and self._sound(self._final, verify=True):
            self._attach(self._final, "c")
            return
        views, samples, _ = self._shape
        self._values_VNF = torch.empty(0)
        self._present_VN = torch.zeros(views, samples, dtype=torch.bool)

    def _sound(self, path: Path, verify: bool) -> bool:
        header = self._header_bytes(_UNKNOWN)
        with path.open("rb") as file:
            found = file.read(len(header))
            digest = _digest(file) if verify else _UNKNOWN
        if found == self._header_bytes(digest) and path.stat().st_size == self._bytes():
            return True
        self.complaint = f"{path.name}, a file of teacher outputs, was damaged and is made anew"
        path.unlink()
        return False

    def _begin_to_write(self) -> None:
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

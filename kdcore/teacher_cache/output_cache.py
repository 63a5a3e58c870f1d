"""Caches teachers' outputs on disk, so that each is computed once: within a run and across jobs.

Cached are a teacher's logits, and any tap that gives one vector per sample, for every sample and
view. Without augmentation there is one view, else `teacher_cache.views`. A file is named by a hash
of everything that decides its content (`TeacherOutputCache.facts`), so a stale file is never read.

B: batch, N: samples.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdcore.data.images import Split
from kdcore.runtime.atomic_write import write_atomically
from kdcore.spec.result import Score
from kdcore.teacher_cache.output_file import OutputFile, output_key

LOGITS = "logits"
_IMAGES_PER_UPDATE = 1024


def fingerprint(split: Split) -> str:
    """Hash a split's images and labels, in order, as they are before any augmentation."""
    known = (tuple(split.images_NCHW.shape), split.size, split.content)
    digest = hashlib.sha256(repr(known).encode())
    if split.content is None:
        for images_NCHW in torch.split(split.images_NCHW, _IMAGES_PER_UPDATE):
            digest.update(images_NCHW.permute(0, 2, 3, 1).numpy().tobytes())
    if split.labels_N is not None:
        digest.update(split.labels_N.numpy().tobytes())
    return digest.hexdigest()


@dataclass
class TeacherOutputCache:
    """The teacher outputs that a run reads and adds, in `folder`.

    `facts`: what the training images are and how outputs are computed; part of every key. `views`:
    views of a sample; if None, every epoch augments differently and no outputs of training images
    are cached. `computed`, `read`: samples times teachers so far.
    """

    folder: Path
    facts: Mapping[str, Any]
    samples: int
    views: int | None
    max_bytes: int
    computed: int = 0
    read: int = 0
    warnings: list[str] = field(default_factory=list)
    _output_files: dict[str, OutputFile] = field(default_factory=dict)

    def output_file(
        self, teacher: Mapping[str, Any], reading: str, features: int
    ) -> OutputFile | None:
        """The file for this reading of this teacher; None if it may not be cached."""
        if self.views is None:
            return None
        size_bytes = self.views * self.samples * (2 * features + 1)
        if size_bytes > self.max_bytes:
            self._warn(
                f"the teacher's {reading} are not cached: they take {size_bytes} bytes, more than "
                f"teacher_cache.max_bytes ({self.max_bytes})"
            )
            return None
        facts = {**self.facts, "teachers": [teacher], "reading": reading, "views": self.views}
        key = output_key(facts)
        if key not in self._output_files:
            output_file = OutputFile(self.folder, facts, self.views, self.samples, features)
            self._warn(output_file.warning)
            self._output_files[key] = output_file
        return self._output_files[key]

    def flush(self) -> None:
        """Flush everything that was put to disk."""
        for output_file in self._output_files.values():
            output_file.flush()

    def finish(self) -> None:
        """Give the files that grew their final names."""
        for output_file in self._output_files.values():
            output_file.finish()

    def scores(self, facts: Mapping[str, Any]) -> "CachedScores":
        """The file of the scores that these facts describe."""
        return CachedScores(self.folder, facts)

    def _warn(self, message: str | None) -> None:
        if message is not None and message not in self.warnings:
            self.warnings.append(message)


class CachedScores:
    """A file with the scores of teachers on an evaluation set, and their top class per image."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._path = folder / f"{output_key(facts)}.safetensors"
        self._facts = json.dumps(facts, sort_keys=True)

    def load(self) -> tuple[list[Score], Tensor | None] | None:
        """The scores and top_N; None if the file is missing or damaged."""
        try:
            with safe_open(self._path, "pt") as file:
                metadata = file.metadata() or {}
                top_N = file.get_tensor("top") if "top" in file.keys() else None  # noqa: SIM118
                digest = _digest(metadata.get("scores", ""), top_N)
                if metadata.get("facts") != self._facts or metadata.get("sha256") != digest:
                    return None
                scores = [Score.model_validate(score) for score in json.loads(metadata["scores"])]
                return scores, None if top_N is None else top_N.long()
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def save(self, scores: Sequence[Score], top_N: Tensor | None) -> None:
        """Write the scores and top_N."""
        text = json.dumps([score.model_dump(mode="json") for score in scores])
        tensors = {"none": torch.zeros(0)}
        if top_N is not None:
            tensors = {"top": top_N.to("cpu", torch.int32)}
        metadata = {
            "facts": self._facts,
            "scores": text,
            "sha256": _digest(text, tensors.get("top")),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._path, safetensors.torch.save(tensors, metadata))


def _digest(text: str, top_N: Tensor | None) -> str:
    digest = hashlib.sha256(text.encode())
    if top_N is not None:
        digest.update(top_N.contiguous().numpy().tobytes())
    return digest.hexdigest()

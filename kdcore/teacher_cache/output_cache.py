"""Teachers' outputs kept on disk, so that a teacher is paid for once: by one run, one job, or all.

Kept are a teacher's logits, and any tap of one vector a sample, of every sample and view: where
images are not augmented there is one view, else `teacher_cache.views`. A file's name is the hash of
all that decides its content (`TeacherOutputCache.facts`), so it is never used where it is invalid.

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
from kdcore.spec.result import Score
from kdcore.teacher_cache.output_file import OutputFile, key_of

LOGITS = "logits"
_IMAGES_AT_ONCE = 1024


def fingerprint(split: Split) -> str:
    """A hash of a split's images and labels, in order, as they are before any augmentation."""
    known = (tuple(split.images_NCHW.shape), split.size, split.content)
    digest = hashlib.sha256(repr(known).encode())
    if split.content is None:
        for images_NCHW in torch.split(split.images_NCHW, _IMAGES_AT_ONCE):
            digest.update(images_NCHW.permute(0, 2, 3, 1).numpy().tobytes())
    if split.labels_N is not None:
        digest.update(split.labels_N.numpy().tobytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class TeacherOutputCache:
    """The teacher outputs that a run has and makes, in `folder`.

    `facts`: of the training images and of how outputs are computed, for every key. `views`: of a
    sample; None where every epoch shows it anew, and then no outputs of training images are kept.
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
        """Where this reading of this teacher is kept; None where it may not be."""
        if self.views is None:
            return None
        size = self.views * self.samples * (2 * features + 1)
        if size > self.max_bytes:
            self._warn(
                f"the teacher's {reading} are not kept: {size} bytes, more than "
                f"teacher_cache.max_bytes ({self.max_bytes})"
            )
            return None
        facts = {**self.facts, "teachers": [teacher], "reading": reading, "views": self.views}
        key = key_of(facts)
        if key not in self._output_files:
            output_file = OutputFile(self.folder, facts, self.views, self.samples, features)
            self._warn(output_file.complaint)
            self._output_files[key] = output_file
        return self._output_files[key]

    def flush(self) -> None:
        """Bring to disk what was put."""
        for output_file in self._output_files.values():
            output_file.flush()

    def finish(self) -> None:
        """Give the files that grew their final names."""
        for output_file in self._output_files.values():
            output_file.finish()

    def scores(self, facts: Mapping[str, Any]) -> "CachedScores":
        """Where the scores that these facts describe are kept."""
        return CachedScores(self.folder, facts)

    def _warn(self, message: str | None) -> None:
        if message is not None and message not in self.warnings:
            self.warnings.append(message)


class CachedScores:
    """The score of teachers on an exam, and their top class of every image."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._path = folder / f"{key_of(facts)}.safetensors"
        self._said = json.dumps(facts, sort_keys=True)

    def load(self) -> tuple[list[Score], Tensor | None] | None:
        """Each score, and top_N; None where they are not kept, or damaged."""
        try:
            with safe_open(self._path, "pt") as file:
                said = file.metadata() or {}
                top_N = file.get_tensor("top") if "top" in file.keys() else None  # noqa: SIM118
                digest = _digest(said.get("scores", ""), top_N)
                if said.get("facts") != self._said or said.get("sha256") != digest:
                    return None
                scores = [Score.model_validate(score) for score in json.loads(said["scores"])]
                return scores, None if top_N is None else top_N.long()
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def save(self, scores: Sequence[Score], top_N: Tensor | None) -> None:
        """Keep them."""
        text = json.dumps([score.model_dump(mode="json") for score in scores])
        tensors = {"none": torch.zeros(0)}
        if top_N is not None:
            tensors = {"top": top_N.to("cpu", torch.int32)}
        metadata = {
            "facts": self._said,
            "scores": text,
            "sha256": _digest(text, tensors.get("top")),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        writing = self._path.with_suffix(".writing")
        writing.write_bytes(safetensors.torch.save(tensors, metadata))
        writing.replace(self._path)


def _digest(text: str, top_N: Tensor | None) -> str:
    digest = hashlib.sha256(text.encode())
    if top_N is not None:
        digest.update(top_N.contiguous().numpy().tobytes())
    return digest.hexdigest()

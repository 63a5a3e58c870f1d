"""Runs the teachers: frozen, each behind its own input adapter; or reads cached outputs instead.

B: batch, C: channels, H, W: height and width, F: features.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.features.taps import Outputs, Tapped
from kdcore.objectives.objectives import Objectives
from kdcore.spec.knobs.base import Tap
from kdcore.spec.run import Network
from kdcore.teacher_cache.output_cache import LOGITS, TeacherOutputCache
from kdcore.teacher_cache.output_file import OutputFile

BatchNormMode = Literal["eval", "train"]
Reading = Tap | None
"""What is read of a teacher: a tap, or None for the logits."""


@dataclass(frozen=True)
class Teacher:
    """A trained network, its input adapter, and its weight among the teachers."""

    name: str
    spec: Network
    network: nn.Module
    adapter: nn.Module
    weight: float = 1.0
    batch_norm: BatchNormMode = "eval"
    size_bytes: int = 0
    sha256: str = ""

    def facts(self) -> dict[str, Any]:
        """Everything that decides its outputs for an image of the dataset, as JSON values."""
        return {"weights": self.sha256, "network": self.spec.model_dump(mode="json")}


@contextmanager
def batch_norm_mode(network: nn.Module, mode: BatchNormMode) -> Iterator[None]:
    """Evaluation mode; with `train`, batch norms use the statistics of their batch.

    Running statistics are not tracked meanwhile, so no buffer changes; dropout stays off.
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and mode == "train"]
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.training, norm.track_running_stats = False, tracked


class TeacherForward:
    """Computes what a stage reads of its teachers, running each only as far as needed.

    With the teachers' `probes`, in the same order, each runs in its inference form (`dtype`: see
    `inference_form`). With an `output_cache` as well, a teacher whose outputs can all be cached
    runs only for samples that are not cached yet.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        objectives: Objectives,
        output_cache: TeacherOutputCache | None = None,
        probes: Sequence[Probe] = (),
        dtype: torch.dtype | None = None,
    ) -> None:
        self._teachers = teachers
        self._modes = [objectives.batch_norm(t.batch_norm) for t in teachers]
        self._reads_logits = objectives.teacher_logits
        self._output_cache = output_cache
        self._networks = [t.network.eval() for t in teachers]
        for index, probe in enumerate(probes):
            fold = self._modes[index] == "eval"
            if (fold or dtype) and (self._reads_logits or objectives.teacher_taps[index]):
                read = {tap.module for tap in objectives.teacher_taps[index]}
                self._networks[index] = probe.inference_form(read, dtype, fold=fold)
        self._tapped = [
            Tapped(network, taps, logits=objectives.teacher_logits, name=t.name)
            for t, network, taps in zip(
                teachers, self._networks, objectives.teacher_taps, strict=True
            )
        ]
        self._output_files: list[dict[Reading, OutputFile]] = [
            {} if output_cache is None else self._open_files(index, output_cache, probes[index])
            for index in range(len(teachers))
        ]

    def __call__(self, batch: Batch) -> list[Outputs]:
        """Outputs of every teacher, without gradients; empty if nothing is read of it."""
        with torch.no_grad():
            return [self._outputs(index, batch) for index in range(len(self._teachers))]

    def close(self) -> None:
        """Remove the hooks."""
        for tapped in self._tapped:
            tapped.close()

    def _outputs(self, index: int, batch: Batch) -> Outputs:
        if not self._reads_logits and not self._tapped[index].taps:
            return Outputs(None)
        if not self._output_files[index] or batch.view is None:
            return self._run(index, batch.images_BCHW)
        return self._read_or_run(index, batch, batch.view)

    def _run(self, index: int, images_BCHW: Tensor) -> Outputs:
        with batch_norm_mode(self._networks[index], self._modes[index]):
            return self._tapped[index](self._teachers[index].adapter(images_BCHW))

    def _read_or_run(self, index: int, batch: Batch, view: int) -> Outputs:
        """Run the teacher for the samples that are missing from its files, then read all."""
        files, index_B = self._output_files[index], batch.host_index_B
        assert index_B is not None and self._output_cache is not None, "implied by a view"
        missing_B = ~torch.stack([file.has(view, index_B) for file in files.values()]).all(0)
        count = int(missing_B.sum())
        self._output_cache.computed += count
        self._output_cache.read += len(index_B) - count
        if count:
            images_BCHW = batch.images_BCHW
            if count < len(index_B):
                images_BCHW = images_BCHW[missing_B.to(images_BCHW.device)]
            outputs = self._run(index, images_BCHW)
            for reading, file in files.items():
                values_BF = outputs.logits_BK if reading is None else outputs.features[reading]
                assert values_BF is not None
                file.put(view, index_B[missing_B], values_BF)
        device = batch.images_BCHW.device
        found = {reading: file.get(view, index_B).to(device) for reading, file in files.items()}
        features = {tap: value for tap, value in found.items() if tap is not None}
        return Outputs(found.get(None), features)

    def _open_files(
        self, index: int, output_cache: TeacherOutputCache, probe: Probe
    ) -> dict[Reading, OutputFile]:
        """A file for everything read of a teacher; none at all if something cannot be cached."""
        teacher, taps = self._teachers[index], self._tapped[index].taps
        if self._modes[index] == "train" or output_cache.views is None:
            return {}  # with batch statistics, outputs depend on the other samples of a batch
        names: dict[Reading, tuple[str, int]] = {}
        if self._reads_logits:
            names[None] = (LOGITS, teacher.spec.num_classes)
        for tap in taps:
            shape = probe.shape(tap)
            if len(shape) != 1:
                return {}  # maps are not cached
            names[tap] = (f"{tap.module} {tap.position} {tap.call}", shape[0])
        files: dict[Reading, OutputFile] = {}
        for reading, (name, features) in names.items():
            file = output_cache.output_file(teacher.facts(), name, features)
            if file is None:
                return {}
            files[reading] = file
        return files

"""Teachers at work: frozen, in evaluation mode, each behind its own input adapter; or what they
said earlier, read from disk.

B: batch, C: channels, H, W: height and width.
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
"""What is read of a teacher; None: the logits."""


@dataclass(frozen=True)
class Teacher:
    """A trained network, its own input adapter, and how much it counts."""

    name: str
    spec: Network
    network: nn.Module
    adapter: nn.Module
    weight: float = 1.0
    batch_norm: BatchNormMode = "eval"
    size_bytes: int = 0
    sha256: str = ""

    def facts(self) -> dict[str, Any]:
        """All that decides what it answers to an image of the dataset, as JSON values."""
        return {"weights": self.sha256, "network": self.spec.model_dump(mode="json")}


@contextmanager
def batch_norm_mode(network: nn.Module, mode: BatchNormMode) -> Iterator[None]:
    """Everything in evaluation mode; with `train`, batch norms use their batch's statistics.

    Their running statistics are not tracked meanwhile, so no buffer changes; dropout stays off.
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
    """What a stage reads of its teachers: `teacher_forward(batch)` runs each as far as needed.

    Given the teachers' `probes`, in the same order, each runs in its inference form, and with a
    `output_cache` too, a teacher whose outputs can all be kept runs only for samples that are not
    there yet. `dtype`: as `inference_form` has it.
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
        self._read = objectives.teacher_logits
        self._output_cache = output_cache
        self._networks = [t.network.eval() for t in teachers]
        for index, probe in enumerate(probes):
            fold = self._modes[index] == "eval"
            if (fold or dtype) and (self._read or objectives.teacher_taps[index]):
                read = {tap.module for tap in objectives.teacher_taps[index]}
                self._networks[index] = probe.inference_form(read, dtype, fold=fold)
        self._tapped = [
            Tapped(network, taps, logits=objectives.teacher_logits, name=t.name)
            for t, network, taps in zip(
                teachers, self._networks, objectives.teacher_taps, strict=True
            )
        ]
        self._output_files: list[dict[Reading, OutputFile]] = [
            {}
            if output_cache is None
            else self._open_output_files(index, output_cache, probes[index])
            for index in range(len(teachers))
        ]

    def __call__(self, batch: Batch) -> list[Outputs]:
        """Outputs of every teacher, without gradients; empty where nothing is read of it."""
        with torch.no_grad():
            return [self._answer(index, batch) for index in range(len(self._teachers))]

    def close(self) -> None:
        """Remove the hooks."""
        for tapped in self._tapped:
            tapped.close()

    def _answer(self, index: int, batch: Batch) -> Outputs:
        if not self._read and not self._tapped[index].taps:
            return Outputs(None)
        if not self._output_files[index] or batch.view is None:
            return self._run(index, batch.images_BCHW)
        return self._recall(index, batch, batch.view)

    def _run(self, index: int, images_BCHW: Tensor) -> Outputs:
        with batch_norm_mode(self._networks[index], self._modes[index]):
            return self._tapped[index](self._teachers[index].adapter(images_BCHW))

    def _recall(self, index: int, batch: Batch, view: int) -> Outputs:
        """From the shelves, after the samples that are missing there have been put there."""
        output_files, where_B = self._output_files[index], batch.host_index_B
        assert where_B is not None and self._output_cache is not None, (
            "a batch with a view has them"
        )
        missing_B = ~torch.stack([s.has(view, where_B) for s in output_files.values()]).all(0)
        count = int(missing_B.sum())
        self._output_cache.computed += count
        self._output_cache.read += len(where_B) - count
        if count:
            images_BCHW = batch.images_BCHW
            if count < len(where_B):
                images_BCHW = images_BCHW[missing_B.to(images_BCHW.device)]
            outputs = self._run(index, images_BCHW)
            for reading, output_file in output_files.items():
                values_BF = outputs.logits_BK if reading is None else outputs.features[reading]
                assert values_BF is not None
                output_file.put(view, where_B[missing_B], values_BF)
        device = batch.images_BCHW.device
        found = {reading: s.get(view, where_B).to(device) for reading, s in output_files.items()}
        return Outputs(
            found.get(None), {tap: value for tap, value in found.items() if tap is not None}
        )

    def _open_output_files(
        self, index: int, output_cache: TeacherOutputCache, probe: Probe
    ) -> "dict[Reading, OutputFile]":
        """A shelf for everything read of a teacher; none at all where something cannot be kept."""
        teacher, taps = self._teachers[index], self._tapped[index].taps
        if self._modes[index] == "train" or output_cache.views is None:
            return {}  # what a batch's other samples decide
        output_files: dict[Reading, OutputFile | None] = {}
        if self._read:
            features = teacher.spec.num_classes
            output_files[None] = output_cache.output_file(teacher.facts(), LOGITS, features)
        for tap in taps:
            shape = probe.shape(tap)
            name = f"{tap.module} {tap.position} {tap.call}"
            kept = (
                output_cache.output_file(teacher.facts(), name, shape[0])
                if len(shape) == 1
                else None
            )
            output_files[tap] = kept
        found = {
            reading: output_file
            for reading, output_file in output_files.items()
            if output_file is not None
        }
        return found if len(found) == len(output_files) else {}

"""A small dataset, small networks and short specs that the tests of kdcore share."""

import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdcore.features.probe import Probe
from kdcore.networks.weights import save_weights
from kdcore.networks.zoo import build_network
from kdcore.spec.run import RUN_SPEC, DistillRun, Input, Network

CLASSES, SIDE = 3, 8
STUDENT = {"architecture": "resnet8", "options": {"width": 0.25}}
TEACHER = Network(
    architecture="resnet8",
    options={"width": 0.5},
    num_classes=CLASSES,
    input=Input(channels=1, height=SIDE, width=SIDE, mean=(0.4,), std=(0.3,)),
)
HARD: Mapping[str, Any] = {"method": "hard_target"}
KD: Mapping[str, Any] = {"method": "kd"}
FITNET: Mapping[str, Any] = {"method": "fitnet"}


def golden(case: str) -> dict[str, Tensor]:
    """The recorded tensors of one case, by name."""
    path = Path(__file__).parent / "golden" / "public.safetensors"
    prefix = f"{case}/"
    return {k.removeprefix(prefix): v for k, v in load_file(path).items() if k.startswith(prefix)}


def write_digits(path: Path, train: int = 48, test: int = 24, labels: bool = True) -> None:
    """Noisy images whose class is where the bright stripe lies."""
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, count in (("train", train), ("test", test)):
        label = np.arange(count) % CLASSES
        images = generator.integers(0, 120, (count, SIDE, SIDE), dtype=np.uint8)
        for row in range(2):
            images[np.arange(count), 2 * label + row + 1] += 120
        arrays[f"x_{name}"] = images
        if labels:
            arrays[f"y_{name}"] = label
    np.savez(path, **arrays)  # type: ignore[arg-type]


def make_folder(folder: Path, **changes: Any) -> Path:
    """A run directory with dataset, one teacher and spec.json; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data.npz").exists():
        write_digits(folder / "data.npz")
    torch.manual_seed(0)
    save_weights(build_network(TEACHER), folder / "teacher.safetensors")
    (folder / "spec.json").write_text(json.dumps(make_spec(**changes)))
    return folder


def make_spec(**changes: Any) -> dict[str, Any]:
    """A distillation of one epoch of kd and hard targets, as JSON; one CPU thread."""
    return {
        "task": "distill",
        "teachers": [
            {"network": TEACHER.model_dump(mode="json"), "weights": "teacher.safetensors"}
        ],
        "student": STUDENT,
        "dataset": {"path": "data.npz", "format": "npz"},
        "stages": [stage(HARD, KD)],
        "data": {"batch_size": 8, "validation": 0.25, "augment": ["crop"]},
        "export": ["safetensors"],
        "device": "cpu",
        "threads": 1,
        **changes,
    }


def stage(*objectives: Mapping[str, Any], epochs: int = 1, **more: Any) -> dict[str, Any]:
    """A stage as JSON."""
    return {"epochs": epochs, "objectives": [dict(o) for o in objectives], **more}


def parse(spec: Mapping[str, Any]) -> DistillRun:
    """The spec as the library's object."""
    run = RUN_SPEC.validate_python(dict(spec))
    assert isinstance(run, DistillRun)
    return run


def events_of(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The events of a run, of one kind or all."""
    lines = (folder / "events.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if kind in (None, e["kind"])]


def result_of(folder: Path) -> dict[str, Any]:
    """The run's result.json."""
    result: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return result


def weights_hash(folder: Path) -> str:
    """Hash the exported student's tensors (a file's header has its keys in any order)."""
    tensors = load_file(folder / "out" / "student.safetensors")
    return hashlib.sha256(
        b"".join(tensors[k].numpy().tobytes() for k in sorted(tensors))
    ).hexdigest()


class Traps(nn.Module):
    """Everything hooks get wrong: in-place and shared ReLUs, `+=` after a norm, dropout, and
    randomness from three generators."""

    def __init__(self, channels: int = 4, classes: int = CLASSES, chance: bool = False) -> None:
        super().__init__()
        self.chance = chance
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(channels, classes)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.relu(self.bn1(self.conv1(x_BCHW)))
        z_BCHW = self.bn2(self.conv2(y_BCHW))
        z_BCHW += y_BCHW[:, :, ::2, ::2]
        z_BCHW = self.relu(z_BCHW)
        pooled_BC = self.dropout(z_BCHW.mean((2, 3)))
        if self.chance and self.training:
            pooled_BC = pooled_BC * random.uniform(0.9, 1.1) * float(np.random.uniform(0.9, 1.1))
        logits_BK: Tensor = self.head(pooled_BC)
        return logits_BK


def probe(network: nn.Module, name: str = "the student", classes: int = CLASSES) -> Probe:
    """A probe that runs one blank image."""
    return Probe(name, network, classes, torch.zeros(1, 1, SIDE, SIDE))

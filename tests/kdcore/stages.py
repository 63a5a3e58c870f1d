"""One stage of small networks, for tests that go step by step.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import MethodContext
from kdcore.runtime.device import Device
from kdcore.spec.recipe import Stage
from kdcore.spec.run import Input, Network
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.teachers import BatchNormMode, Teacher
from tests.kdcore.tiny import CLASSES, SIDE, Traps, stage

COUNT = 6  # samples, all of them in one batch
LABELS = torch.arange(COUNT) % CLASSES
SLOW = {"name": "sgd", "learning_rate": 1e-4}


def images(side: int = SIDE) -> Tensor:
    """Random images, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(COUNT, 1, side, side, generator=generator)


def batch_of(side: int = SIDE) -> Batch:
    """All samples."""
    return Batch(torch.arange(COUNT), images(side), LABELS)


def small_network(architecture: str, side: int = 32, **options: float) -> nn.Module:
    """A network of the zoo for grey images, with the same weights at every call."""
    torch.manual_seed(0)
    image = Input(channels=1, height=side, width=side)
    return build_network(
        Network(architecture=architecture, options=options, num_classes=CLASSES, input=image)
    )


def calm_traps(seed: int, channels: int = 4) -> Traps:
    """Without dropout, so that no generator decides."""
    torch.manual_seed(seed)
    network = Traps(channels)
    network.dropout.p = 0.0
    return network


def stage_run(
    student: nn.Module,
    teacher: nn.Module,
    *objectives: Mapping[str, Any],
    side: int = SIDE,
    batch_norm: BatchNormMode = "eval",
) -> StageRun:
    """A stage of these objectives between a student and one teacher, `t`; close it."""
    torch.manual_seed(1)
    image_1CHW = torch.zeros(1, 1, side, side)
    context = MethodContext(
        Probe("the student", student, CLASSES, image_1CHW),
        (Probe("t", teacher, CLASSES, image_1CHW),),
        (1.0,),
        batch_size=COUNT,
        training_N=torch.arange(COUNT),
        labels_N=LABELS,
    )
    spec = Network(architecture="traps", num_classes=CLASSES)
    frozen = teacher.requires_grad_(False)
    setup = StageSetup(
        context,
        (Teacher("t", spec, frozen, nn.Identity(), batch_norm=batch_norm),),
        nn.Identity(),
        Device(torch.device("cpu"), "fp32"),
    )
    return StageRun(setup, Stage.model_validate(stage(*objectives, optimizer=SLOW)), student, 4)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {k: v.clone() for k, v in network.state_dict().items()}


def same_bits(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> bool:
    """Whether both hold the same tensors under the same names."""
    return set(before) == set(after) and all(torch.equal(v, after[k]) for k, v in before.items())

"""The pair matrix: every method on every kind of pair makes finite steps that train all of the
student and of the method, do not change the teacher, and leave nothing of the method behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdcore.data.batches import Adapter, Batch
from kdcore.features.probe import Probe
from kdcore.networks.classifier import find_classifier, insert_projector
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import MethodContext
from kdcore.runtime.device import Device
from kdcore.runtime.errors import RunError
from kdcore.spec.methods import KNOBS
from kdcore.spec.recipe import Stage
from kdcore.spec.run import Input, Network
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.teachers import Teacher

CLASSES, SAMPLES = 4, 6
VIT = {"depth": 2, "embed_dim": 24, "num_heads": 2, "patch_size": 8}
SWIN = {"depths": (1, 1), "embed_dim": 12, "num_heads": (1, 2), "window_size": 4}
HALF, QUARTER = {"width": 0.5}, {"width": 0.25}

Side = tuple[str, dict[str, Any]]
# Teacher, student, the dataset's channels, height and width; the teacher's own input size.
PAIRS: dict[str, tuple[Side, Side, tuple[int, int, int], tuple[int, int] | None]] = {
    "same family": (("resnet20", {}), ("resnet8", {}), (3, 16, 16), None),
    "same family, other widths": (("resnet8x4", QUARTER), ("resnet8", {}), (3, 16, 16), None),
    "pre-activation": (("wrn_16_2", {}), ("wrn_16_1", {}), (3, 16, 16), None),
    "plain": (("vgg11", QUARTER), ("vgg8", QUARTER), (3, 16, 16), None),
    "residual to plain": (("resnet8", {}), ("vgg8", QUARTER), (3, 16, 16), None),
    "residual to inverted residual": (("resnet8", {}), ("mobilenetv2", {}), (3, 32, 32), None),
    "plain to shuffled": (("vgg8", QUARTER), ("shufflenetv2", QUARTER), (3, 16, 16), None),
    "pre-activation to grouped": (
        ("wrn_16_1", {}),
        ("shufflenetv1", {"width": 0.2}),
        (3, 16, 16),
        None,
    ),
    "transformer teacher": (
        ("timm/vit_tiny_patch16_224", VIT),
        ("resnet8", HALF),
        (3, 32, 32),
        None,
    ),
    "transformer student": (
        ("resnet8", {}),
        ("timm/vit_tiny_patch16_224", VIT),
        (3, 32, 32),
        None,
    ),
    "windowed transformer to shared in-place ReLUs": (
        ("timm/swin_tiny_patch4_window7_224", SWIN),
        ("torchvision/resnet18", {"width_per_group": 64}),
        (3, 32, 32),
        None,
    ),
    "normalisation free of batches to squeeze-and-excite": (
        ("timm/convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}),
        ("timm/mobilenetv3_small_050", {}),
        (3, 64, 64),
        None,
    ),
    "not square": (("resnet20", {}), ("resnet8", {}), (3, 16, 24), None),
    "one channel": (("resnet20", {}), ("resnet8", {}), (1, 28, 28), None),
    "teacher of another size": (("resnet8", HALF), ("resnet8", QUARTER), (3, 16, 16), (24, 24)),
}


def _network(side: Side, channels: int, height: int, width: int) -> tuple[Network, nn.Module]:
    name, options = side
    spec = Network(
        architecture=name,
        num_classes=CLASSES,
        input=Input(channels=channels, height=height, width=width),
    )
    # Not validated: options of a spec are scalars, and these networks are made small for the test.
    spec = spec.model_copy(update={"options": options})
    return spec, build_network(spec)


@cache
def _pair(name: str) -> tuple[nn.Module, Teacher, MethodContext, Batch]:
    teacher_side, student_side, (channels, height, width), size = PAIRS[name]
    torch.manual_seed(0)
    spec, network = _network(teacher_side, channels, *(size or (height, width)))
    _, student = _network(student_side, channels, height, width)
    network.eval().requires_grad_(False)
    images_BCHW = torch.rand(SAMPLES, channels, height, width)
    labels_B = torch.arange(SAMPLES) % CLASSES
    batch = Batch(torch.arange(SAMPLES), images_BCHW, labels_B)
    adapter = Adapter(spec.input, channels)
    teacher = Teacher("the teacher", spec, network, adapter)
    context = MethodContext(
        Probe("the student", student, CLASSES, images_BCHW[:1]),
        (Probe("the teacher", network, CLASSES, adapter(images_BCHW[:1])),),
        (1.0,),
        batch_size=SAMPLES,
        training_N=torch.arange(SAMPLES),
        labels_N=labels_B,
    )
    return student, teacher, context, batch


@contextmanager
def _stage(pair: str, method: str) -> Iterator[tuple[StageRun, nn.Module, Teacher, Batch]]:
    student, teacher, context, batch = _pair(pair)
    student = deepcopy(student)
    if method == "simkd":  # its student ends with the teacher's classifier
        _, classifier = find_classifier(teacher.network, CLASSES)
        insert_projector(student, CLASSES, classifier.in_features)
    probe = Probe("the student", student, CLASSES, batch.images_BCHW[:1])
    context = MethodContext(**{**vars(context), "student": probe})
    stage = Stage.model_validate(
        {
            "epochs": 1,
            "objectives": [{"method": method}, {"method": "hard_target"}],
            "optimizer": {"name": "sgd", "learning_rate": 1e-4},
        }
    )
    device = Device(torch.device("cpu"), "fp32")
    setup = StageSetup(context, (teacher,), nn.Identity(), device)
    torch.manual_seed(1)
    with StageRun(setup, stage, student, 2) as run:
        run.train_mode()
        yield run, student, teacher, batch


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("method", sorted(KNOBS))
@pytest.mark.parametrize("pair", PAIRS)
def test_trap_12_every_method_runs_on_any_pair_or_says_why_not(pair: str, method: str) -> None:
    teacher_before = _copy(_pair(pair)[1].network)
    try:
        with _stage(pair, method) as (run, student, teacher, batch):
            keys = set(student.state_dict())
            losses = [run.step(batch, step).total.item() for step in range(2)]
            owners = {"student": student, "method": run.objectives}
            untrained = [
                f"{owner}.{name}"
                for owner, module in owners.items()
                for name, p in module.named_parameters()
                if p.requires_grad and (p.grad is None or not bool(torch.isfinite(p.grad).all()))
            ]
    except RunError as error:
        # The only refusal: FSP pairs maps channel by channel.
        assert (method, error.code) == ("fsp", "fsp_channels"), error.message
        assert "the student" in error.message and "the teacher" in error.message
        return
    assert all(torch.isfinite(torch.tensor(losses)))
    assert untrained == []
    assert teacher.network.training is False
    after = teacher.network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in teacher_before.items())
    assert set(student.state_dict()) == keys
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in student.modules())


def test_fsp_serves_pairs_of_one_width() -> None:
    for pair in ("same family", "not square", "one channel"):
        with _stage(pair, "fsp") as (run, _, _, batch):
            assert run.step(batch, 0).terms["fsp"].isfinite()

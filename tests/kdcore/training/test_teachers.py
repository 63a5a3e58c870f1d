"""Teachers do not change by a bit, whatever mode their batch norms run in."""

import pytest
import torch
from torch import nn

from kdcore.data.batches import Batch
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import Objectives
from kdcore.spec.run import Network
from kdcore.training.teachers import BatchNormMode, Teacher, TeacherForward, batch_norm_mode
from tests.kdcore.tiny import (
    CLASSES,
    FITNET,
    HARD,
    KD,
    SIDE,
    Traps,
    make_spec,
    parse,
    probe,
    stage,
)

IMAGES = torch.randn(16, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
BATCH = Batch(torch.arange(16), IMAGES, None)


def _teacher(mode: BatchNormMode = "eval") -> Teacher:
    torch.manual_seed(0)
    network = Traps().requires_grad_(False).eval()
    spec = Network(architecture="traps", num_classes=CLASSES)
    return Teacher("t", spec, network, nn.Identity(), batch_norm=mode)


def _teacher_forward(teacher: Teacher, *objectives: object) -> TeacherForward:
    context = MethodContext(probe(Traps()), (probe(teacher.network, "t"),), (1.0,))
    spec = parse(make_spec(stages=[stage(*objectives)]))  # type: ignore[arg-type]
    return TeacherForward([teacher], Objectives(spec.stages[0], context, ""))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_no_buffer_changes_and_dropout_stays_off(mode: BatchNormMode) -> None:
    """Trap 4: a teacher left in training mode drifts."""
    teacher = _teacher(mode)
    before = {k: v.clone() for k, v in teacher.network.state_dict().items()}
    teacher_forward = _teacher_forward(teacher, KD)
    (first,), (second,) = teacher_forward(BATCH), teacher_forward(BATCH)
    assert first.logits_BK is not None and second.logits_BK is not None
    assert torch.equal(first.logits_BK, second.logits_BK) and not first.logits_BK.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in teacher.network.state_dict().items())
    assert not any(m.training for m in teacher.network.modules())
    assert all(
        m.track_running_stats for m in teacher.network.modules() if isinstance(m, nn.BatchNorm2d)
    )


def test_train_mode_normalises_with_the_batch() -> None:
    teacher = _teacher()
    twin = Traps()
    twin.load_state_dict(teacher.network.state_dict())
    twin.dropout.p = 0.0
    with batch_norm_mode(teacher.network, "train"), torch.no_grad():
        logits_BK = teacher.network(IMAGES)
    torch.testing.assert_close(logits_BK, twin(IMAGES).detach())
    with torch.no_grad():
        assert (teacher.network(IMAGES) - logits_BK).abs().max() > 1e-3


def test_a_teacher_that_is_not_read_does_not_run_and_hints_end_the_pass() -> None:
    teacher = _teacher()
    assert _teacher_forward(teacher, HARD)(BATCH)[0].logits_BK is None
    ran: list[nn.Module] = []
    teacher.network.get_submodule("head").register_forward_hook(lambda m, _a, _o: ran.append(m))
    teacher_forward = _teacher_forward(teacher, HARD, FITNET)
    ran.clear()  # the probe's passes
    (outputs,) = teacher_forward(BATCH)
    assert outputs.logits_BK is None and len(outputs.features) == 1 and ran == []
    teacher_forward.close()


def test_each_teacher_sees_images_through_its_own_adapter() -> None:
    class Dark(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0

    network = _teacher().network
    spec = Network(architecture="traps", num_classes=CLASSES)
    dark = Teacher("dark", spec, network, Dark())
    (seen,) = _teacher_forward(dark, KD)(BATCH)
    with torch.no_grad():
        assert seen.logits_BK is not None
        torch.testing.assert_close(seen.logits_BK, network(IMAGES * 0))

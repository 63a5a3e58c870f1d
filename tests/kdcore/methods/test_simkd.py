"""SimKD: the student ends with the teacher's classifier, from its start to its export."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdcore.data.batches import Batch
from kdcore.features.taps import Tapped
from kdcore.methods.simkd import Simkd, feature_loss
from kdcore.networks.classifier import find_classifier, insert_projector
from kdcore.networks.weights import load_network
from kdcore.objectives.base import MethodContext
from kdcore.runs.run import run
from kdcore.runtime.errors import RunError
from kdcore.runtime.signals import StopFlag
from kdcore.spec.knobs.maps import SimkdKnobs
from kdcore.spec.run import Network
from tests.kdcore.tiny import CLASSES, SIDE, Traps, make_folder, probe, result_of, stage

BATCH = Batch(torch.arange(2), torch.zeros(2, 1, SIDE, SIDE), None)


def _student(width: int = 6) -> Traps:
    student = Traps()
    insert_projector(student, CLASSES, width)
    return student


def test_the_loss_is_the_mean_squared_error() -> None:
    loss = feature_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 2.0]]))
    assert loss.item() == 2.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BF = torch.full((2, 3), 6e4, dtype=dtype)
    loss = feature_loss(huge_BF, -huge_BF)
    assert loss.dtype is torch.float32 and bool(torch.isfinite(loss))


def test_it_compares_what_enters_the_classifiers() -> None:
    student, teacher = _student(), Traps(6).eval()
    method = Simkd(SimkdKnobs(), MethodContext(probe(student), (probe(teacher, "t"),), (1.0,)))
    x_BCHW = torch.rand(2, 1, SIDE, SIDE)
    outputs = [
        Tapped(network, taps, logits=False)(x_BCHW)
        for network, taps in ((student, method.student_taps), (teacher, method.teacher_taps[0]))
    ]
    (projected_BF,), (feature_BF,) = (o.features.values() for o in outputs)
    assert projected_BF.shape == feature_BF.shape == (2, 6)
    _, classifier = find_classifier(teacher, CLASSES)
    torch.testing.assert_close(classifier(feature_BF), teacher(x_BCHW))
    loss = method(outputs[0], outputs[1:], BATCH)
    torch.testing.assert_close(loss["simkd"], feature_loss(projected_BF, feature_BF))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"teachers": ()}, "one_teacher"),
        ({"teachers": (probe(Traps(), "a"), probe(Traps(), "b"))}, "one_teacher"),
        ({"teachers": (probe(Traps(classes=7), "a", 7),)}, "class_count_mismatch"),
        ({"batch_size": 1}, "batch_too_small"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], code: str) -> None:
    context = {"student": probe(_student()), "teachers": (probe(Traps(6), "t"),), **change}
    with pytest.raises(RunError) as caught:
        Simkd(SimkdKnobs(), MethodContext(**context))  # type: ignore[arg-type]
    assert caught.value.code == code


def test_a_network_without_a_linear_end_is_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 8), torch.nn.Flatten())
    with pytest.raises(RunError, match="ends with a linear layer of 3 outputs") as caught:
        insert_projector(network, CLASSES, 4)
    assert caught.value.code == "no_linear_classifier"


def test_the_exported_student_has_the_teachers_classifier_and_the_baseline_its_own(
    tmp_path: Path,
) -> None:
    folder = make_folder(
        tmp_path / "run",
        stages=[stage({"method": "simkd"}, epochs=2)],
        export=["safetensors", "onnx"],
    )
    assert run(folder, StopFlag()) == 0
    out = folder / "out"
    network = Network.model_validate_json((out / "config.json").read_text())
    assert network.classifier_width == 32
    student = load_network(network, out / "student.safetensors")
    _, classifier = find_classifier(student, CLASSES)
    teacher = load_file(folder / "teacher.safetensors")
    assert torch.equal(classifier.weight, teacher["head.linear.weight"])
    assert torch.equal(classifier.bias, teacher["head.linear.bias"])
    plain = network.model_copy(update={"classifier_width": None})
    load_network(plain, out / "baseline.safetensors")
    result = result_of(folder)
    assert result["student"]["parameters"] > result["baseline"]["parameters"]
    assert {a["kind"] for a in result["artifacts"]} >= {"onnx", "weights", "baseline_weights"}

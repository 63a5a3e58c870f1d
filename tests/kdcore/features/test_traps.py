"""The traps that public code bases fell into, each a test with the trap's number.

Trap 9, cached teacher outputs under a wrong key, is in test_output_cache; trap 12, pairs of
networks that no author tried, in test_pairs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.__main__ import main
from kdcore.features.probe import Probe
from kdcore.features.taps import Tapped
from kdcore.methods.dist import dist_loss
from kdcore.methods.kd import kd_loss
from kdcore.networks.classifier import insert_projector
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import METHODS
from kdcore.runs.prepare import prepare
from kdcore.spec.codes import Exit
from kdcore.spec.knobs.base import Tap
from kdcore.spec.methods import KNOBS
from kdcore.spec.result import RUN_RESULT, DistillResult
from kdcore.spec.run import Network
from kdcore.training.stage import StageRun
from kdcore.training.teachers import BatchNormMode
from tests.kdcore.stages import (
    batch_of,
    calm_traps,
    images,
    same_bits,
    small_network,
    stage_run,
    state_of,
)
from tests.kdcore.tiny import (
    CLASSES,
    HARD,
    KD,
    SIDE,
    STUDENT,
    events_of,
    make_folder,
    make_spec,
    parse,
    result_of,
    stage,
    write_digits,
)

EVERY_METHOD = [{"method": name} for name in KNOBS] + [{"method": "ft", "part": "paraphraser"}]
METHOD = pytest.mark.parametrize(
    "objective", EVERY_METHOD, ids=["-".join(o.values()) for o in EVERY_METHOD]
)


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers belong to the process; keep pytest's."""
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)


def _distil(folder: Path, **changes: Any) -> DistillResult:
    assert main(["run", str(make_folder(folder, **changes))]) == Exit.OK, events_of(folder)[-1]
    result = RUN_RESULT.validate_python(result_of(folder))
    assert isinstance(result, DistillResult)
    return result


def test_trap_01_what_enters_an_in_place_relu_is_read_before_it_acts() -> None:
    """At every default level of torchvision's ResNet-18, whose ReLUs all act in place."""
    network = small_network("torchvision/resnet18").eval()
    levels = Probe("t", network, CLASSES, torch.zeros(1, 1, 32, 32)).levels("before_relu")
    before = [level.tap for level in levels]
    after = [Tap(module=tap.module, call=tap.call) for tap in before]
    with Tapped(network, [*before, *after]) as tapped, torch.no_grad():
        features = tapped(images(32)).features
    assert len(levels) >= 4
    for one, other in zip(before, after, strict=True):
        assert features[one].min() < -0.1
        torch.testing.assert_close(features[one].relu(), features[other])


def test_trap_02_one_relu_that_acts_several_times_is_tapped_by_its_call() -> None:
    network = calm_traps(0).eval()
    taps = [Tap(module="relu", position="before_relu", call=n) for n in (0, 1)]
    levels = Probe("t", network, CLASSES, torch.zeros(1, 1, SIDE, SIDE)).levels("before_relu")
    assert [level.tap for level in levels] == taps
    with Tapped(network, taps) as tapped:
        first, second = (tapped(images()).features[tap] for tap in taps)
    torch.testing.assert_close(first, network.bn1(network.conv1(images())))
    y_BCHW = first.relu()
    expected = network.bn2(network.conv2(y_BCHW)) + y_BCHW[:, :, ::2, ::2]
    torch.testing.assert_close(second, expected)


def test_trap_03_the_tap_of_a_pre_activation_network_updates_no_batch_norm_twice() -> None:
    """What enters a wide ResNet's ReLU is the next block's batch norm: it is read, not redone."""
    student, plain = small_network("wrn_16_1", width=0.5), small_network("wrn_16_1", width=0.5)
    objectives = ({"method": "overhaul"}, {"method": "reviewkd"}, {"method": "ab"}, HARD)
    with stage_run(student, small_network("wrn_16_1"), *objectives, side=32) as run:
        assert any("relu1" in t.module for t in run.objectives.student_taps)
        run.train_mode()
        run.step(batch_of(32), 0)
    plain.train()(images(32))
    norms = [m for m in student.modules() if isinstance(m, _BatchNorm)]
    others = [m for m in plain.modules() if isinstance(m, _BatchNorm)]
    assert {int(m.num_batches_tracked) for m in norms if m.num_batches_tracked is not None} == {1}
    for norm, other in zip(norms, others, strict=True):
        torch.testing.assert_close(norm.running_mean, other.running_mean)
        torch.testing.assert_close(norm.running_var, other.running_var)


@pytest.mark.parametrize("asked", ["eval", "train"])
@pytest.mark.parametrize("objective", ["overhaul", "kd", "reviewkd"])
def test_trap_04_a_teacher_left_in_training_mode_keeps_its_buffers_to_the_bit(
    objective: str, asked: BatchNormMode
) -> None:
    teacher = calm_traps(1, 6).train()
    before = state_of(teacher)
    with stage_run(calm_traps(0), teacher, {"method": objective}, HARD, batch_norm=asked) as run:
        run.train_mode()
        for step in range(3):
            run.step(batch_of(), step)
        run.validation_loss([batch_of()])
    assert same_bits(before, teacher.state_dict())
    assert not any(m.training for m in teacher.modules())
    assert all(p.grad is None for p in teacher.parameters())


def test_trap_04_each_method_declares_its_teachers_mode() -> None:
    """Overhaul demands training mode, and gets the batch's statistics for it."""
    demands = {name: METHODS[knobs].teacher_batch_norm for name, knobs in KNOBS.items()}
    assert {name for name, mode in demands.items() if mode == "train"} == {"overhaul"}
    losses = []
    for drift in (0.0, 5.0):  # running statistics that are far from the batch's
        teacher = calm_traps(1, 6)
        assert teacher.bn1.running_mean is not None
        teacher.bn1.running_mean += drift
        with stage_run(calm_traps(0), teacher, {"method": "overhaul"}) as run:
            losses.append(run.validation_loss([batch_of()]))
    assert losses[0] == losses[1] > 0


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_trap_05_kd_is_divided_by_the_batch_and_not_by_the_classes(classes: int) -> None:
    """A sure teacher and a student that knows nothing: log K, at any number of classes."""
    sure_BK = torch.zeros(4, classes)
    sure_BK[:, 0] = 100.0
    loss = kd_loss(torch.zeros(4, classes), torch.log_softmax(sure_BK, 1), 1.0)
    assert loss.item() == pytest.approx(np.log(classes), rel=1e-5)


@pytest.mark.parametrize("hard", [0.0, 1.0])
def test_trap_05_the_squared_temperature_stays_when_the_hard_weight_is_zero(hard: float) -> None:
    student, teacher = calm_traps(0).eval(), calm_traps(1).eval()
    kd = {**KD, "temperature": 5.0, "weight": 3.0}
    with stage_run(student, teacher, {**HARD, "weight": hard}, kd) as run:
        loss = run.step(batch_of(), 0)
    with torch.no_grad():
        p_BK = torch.softmax(teacher(images()) / 5, 1)
        fresh = calm_traps(0).eval()
        q_BK = torch.softmax(fresh(images()) / 5, 1)
    soft = 25 * (p_BK * (p_BK / q_BK).log()).sum(1).mean()
    torch.testing.assert_close(loss.terms["kd"], soft, rtol=1e-4, atol=1e-7)
    expected = 3 * loss.terms["kd"] + hard * loss.terms["hard_target"]
    torch.testing.assert_close(loss.total.detach(), expected)


@pytest.mark.parametrize("method", ["kd", "dkd", "dist", "standardized_kd"])
def test_trap_05_a_soft_loss_alone_trains_the_whole_student(method: str) -> None:
    student = calm_traps(0)
    with stage_run(student, calm_traps(1), {"method": method}) as run:
        run.train_mode()
        run.step(batch_of(), 0)
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_trap_06_dist_rewards_correlation() -> None:
    """A step down its slope brings the student's probabilities nearer to the teacher's order."""
    teacher_BK, student_BK = (
        torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
    )
    target_BK = torch.log_softmax(teacher_BK, 1)
    best = dist_loss(teacher_BK, target_BK, 1.0, 1.0, 1.0).item()
    worst = dist_loss(-teacher_BK, target_BK, 1.0, 1.0, 1.0).item()
    assert best == pytest.approx(0, abs=1e-5) and worst > 2
    correlations = []
    for _ in range(20):
        student_BK.requires_grad_()
        p_BK, q_BK = torch.softmax(student_BK, 1).detach(), target_BK.exp()
        correlations.append(torch.corrcoef(torch.stack([p_BK.flatten(), q_BK.flatten()]))[0, 1])
        loss = dist_loss(student_BK, target_BK, 1.0, 1.0, 1.0)
        (slope_BK,) = torch.autograd.grad(loss, student_BK)
        student_BK = (student_BK - slope_BK).detach()
    assert correlations[-1] > correlations[0] + 0.1


@METHOD
def test_trap_07_a_methods_parameters_learn_and_are_not_the_students(
    objective: Mapping[str, Any],
) -> None:
    student = calm_traps(0)
    if objective["method"] == "simkd":  # its student ends with the teacher's classifier
        insert_projector(student, CLASSES, 4)
    names = set(student.state_dict())
    with stage_run(student, calm_traps(1), objective) as run:
        run.train_mode()
        learning = {k: p for k, p in run.objectives.named_parameters() if p.requires_grad}
        before = {k: p.detach().clone() for k, p in learning.items()}
        run.step(batch_of(), 0)
        state = run.tensors()
    for name, parameter in learning.items():
        assert f"method/{name}" in state
        assert f"optimizer/method.{name}/momentum_buffer" in state
        assert not torch.equal(parameter, before[name]), name
    assert set(student.state_dict()) == names
    trained = {id(p) for p in learning.values()}
    assert trained.isdisjoint({id(p) for p in student.parameters()})


def test_trap_07_the_exported_student_is_the_architecture_and_nothing_more(tmp_path: Path) -> None:
    methods = ("reviewkd", "overhaul", "vid", "crd", "ft")
    objectives = [{"method": m, "weight": 1e-3} for m in methods]
    _distil(tmp_path, stages=[stage(HARD, *objectives)], baseline=False)
    given = {**STUDENT, "num_classes": CLASSES, "input": {"channels": 1, "height": 8, "width": 8}}
    fresh = build_network(Network.model_validate(given)).state_dict()
    exported = load_file(tmp_path / "out" / "student.safetensors")
    assert {k: v.shape for k, v in exported.items()} == {k: v.shape for k, v in fresh.items()}


def test_trap_08_best_is_chosen_on_validation_and_not_on_the_test_split(tmp_path: Path) -> None:
    """Another test split gives other scores, but the same weights and the same best epoch."""
    results, weights = [], []
    for name, turn in (("a", 0), ("b", 1)):
        folder = tmp_path / name
        folder.mkdir()
        write_digits(folder / "data.npz")
        arrays = dict(np.load(folder / "data.npz"))
        arrays["y_test"] = (arrays["y_test"] + turn) % CLASSES
        np.savez(folder / "data.npz", **arrays)
        optimizer = {"name": "sgd", "learning_rate": 0.02}
        stages = [stage(HARD, epochs=5, optimizer=optimizer)]
        results.append(_distil(folder, stages=stages, baseline=False))
        files = sorted((folder / "out").glob("student*.safetensors"))
        weights.append({f"{f.name}/{k}": v for f in files for k, v in load_file(f).items()})
    first, second = (r.student for r in results)
    assert first.best_epoch == second.best_epoch and same_bits(*weights)
    assert first.best is not None and second.best is not None
    assert (first.last.accuracy, first.best.accuracy) != (
        second.last.accuracy,
        second.best.accuracy,
    )


def test_trap_08_without_a_validation_part_nothing_is_best(tmp_path: Path) -> None:
    """The test split does not stand in for it."""
    spec = make_spec(data={"batch_size": 8, "validation": 0})
    prepared = prepare(parse(spec), make_folder(tmp_path))
    assert prepared.setup.validation_set is None
    assert prepared.eval_set is not None and prepared.split == "test"


def test_trap_10_two_stages_in_one_process_share_nothing() -> None:
    """Stepping in turn, each ends with the same bits as alone."""
    objectives = (KD, {"method": "at"}, {"method": "reviewkd"}, {"method": "overhaul"})

    def start(seed: int) -> tuple[nn.Module, StageRun]:
        student = calm_traps(seed)
        run = stage_run(student, calm_traps(seed + 10, 6), *objectives)
        run.train_mode()
        return student, run

    alone = []
    for seed in (0, 1):
        student, run = start(seed)
        with run:
            losses = [run.step(batch_of(), n).total.item() for n in range(4)]
            alone.append((losses, state_of(student) | run.tensors()))
    (one, first), (other, second) = start(0), start(1)
    with first, second:
        steps = [[r.step(batch_of(), n).total.item() for r in (first, second)] for n in range(4)]
        together = [state_of(one) | first.tensors(), state_of(other) | second.tensors()]
    assert [list(losses) for losses in zip(*steps, strict=True)] == [a[0] for a in alone]
    assert alone[0][0] != alone[1][0]
    for (_, state), turned in zip(alone, together, strict=True):
        assert same_bits(state, turned)


CODE = "__import__('pathlib').Path({path!r}).touch()"
SHELL = "$(touch {path})"
PLACES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "architecture": (CODE, {"student": {"architecture": "{}"}}),
    "option": (CODE, {"student": {**STUDENT, "options": {"width": "{}"}}}),
    "tap": (CODE, {"stages": [stage({"method": "at", "student_taps": [{"module": "{}"}]})]}),
    "method": (CODE, {"stages": [stage({"method": "{}"})]}),
    "optimizer": (CODE, {"stages": [stage(HARD, optimizer={"name": "{}"})]}),
    "number": (CODE, {"stages": [stage({**KD, "temperature": "{}"})]}),
    "unknown key": (CODE, {"callback": "{}"}),
    "unknown knob": (CODE, {"stages": [stage({**KD, "__reduce__": "{}"})]}),
    "path": (SHELL, {"dataset": {"path": "{}", "format": "npz"}}),
    "device": (SHELL, {"device": "{}"}),
}


@pytest.mark.parametrize("place", PLACES)
def test_trap_11_code_in_a_spec_is_only_text(tmp_path: Path, place: str) -> None:
    """It is refused as what it is, a wrong name, number or key, with an error that has a code."""
    code, changes = PLACES[place]
    code = code.format(path=str(tmp_path / "ran"))
    changed = json.loads(json.dumps(changes).replace('"{}"', json.dumps(code)))
    assert main(["run", str(make_folder(tmp_path, **changed))]) in (Exit.BAD_SPEC, Exit.BAD_INPUT)
    end = events_of(tmp_path)[-1]
    assert end["kind"] == "end" and end["code"] != "internal"
    assert not (tmp_path / "ran").exists()


def test_trap_11_a_spec_is_json_and_not_yaml_with_tags(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    ran = tmp_path / "ran"
    (folder / "spec.json").write_text(f"!!python/object/apply:os.system ['touch {ran}']")
    assert main(["run", str(folder)]) == Exit.BAD_SPEC
    assert events_of(folder)[-1]["code"] == "bad_json" and not ran.exists()

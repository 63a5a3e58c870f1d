"""Measures what came out of a distillation and writes it down: result.json and the exports."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from kdcore.runs.export import export_network
from kdcore.runs.prepare import PreparedRun, plain
from kdcore.runtime.device import Device
from kdcore.spec.names import ArmName
from kdcore.spec.recipe import ExportFormat
from kdcore.spec.result import DistillResult, NetworkReport, RunArtifact, Score, TeacherOutputs
from kdcore.spec.run import Input
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.evaluate import TeacherScores, latency_ms, score, scorer_of
from kdcore.training.state import History, Outcome
from kdcore.training.teachers import Teacher

NOT_SCORED = Score(accuracy=None, loss=None, samples=0)


def report_teacher(teacher: Teacher, scored: Score, device: Device) -> NetworkReport:
    """A teacher's cost and worth."""
    return NetworkReport(
        name=teacher.name,
        architecture=teacher.spec.architecture,
        parameters=_parameters(teacher.network),
        size_bytes=teacher.size_bytes,
        latency_ms=_latency(teacher.network, teacher.spec.input, device),
        last=scored,
    )


def report_student(name: ArmName, outcome: Outcome, prepared: PreparedRun) -> NetworkReport:
    """A finished arm's cost and worth: its last epoch's and its best epoch's weights."""
    setup, network = prepared.setup, prepared.setup.student(name)
    network.load_state_dict(outcome.last)
    last = _score(network, prepared, name)
    cost = _latency(network, prepared.network.input, setup.device)
    size_bytes = _size_bytes(network)
    best = outcome.best
    scored = None
    if best is not None:
        network.load_state_dict(best.weights)
        scored = _score(network, prepared, name)
    return NetworkReport(
        name=name,
        architecture=prepared.network.architecture,
        parameters=_parameters(network),
        size_bytes=size_bytes,
        latency_ms=cost,
        last=last,
        best=scored,
        best_epoch=None if best is None else best.epoch,
    )


def export_all(
    outcomes: Mapping[ArmName, Outcome],
    prepared: PreparedRun,
    formats: Sequence[ExportFormat],
    epochs: int,
    out: Path,
) -> tuple[RunArtifact, ...]:
    """The student's last weights as asked; its best and the baseline's as safetensors too.

    Nothing of the methods is in them. Every file is loaded back and compared.
    """
    network, student = prepared.network, prepared.setup.student("student")
    outcome = outcomes["student"]
    student.load_state_dict(outcome.last)
    artifacts = list(export_network(student, network, out, formats, "student"))
    if outcome.best is not None and outcome.best.epoch != epochs:
        student.load_state_dict(outcome.best.weights)
        artifacts += export_network(
            student, network, out, ("safetensors",), "student-best", "weights_best"
        )
    if "baseline" in outcomes:
        scratch = prepared.setup.student("baseline")
        scratch.load_state_dict(outcomes["baseline"].last)
        artifacts += export_network(
            scratch, plain(network), out, ("safetensors",), "baseline", "baseline_weights"
        )
    return tuple(artifacts)


def make_result(
    prepared: PreparedRun,
    teachers: TeacherScores,
    student: NetworkReport,
    baseline: NetworkReport | None,
    artifacts: tuple[RunArtifact, ...],
    history: History,
) -> DistillResult:
    """The result: gain, retention and gap closed of the last epoch's accuracies."""
    device = prepared.setup.device
    own, top = student.last.accuracy, teachers.accuracy
    scratch = baseline.last.accuracy if baseline else None
    return DistillResult(
        split=prepared.split,
        teachers=tuple(
            report_teacher(t, s, device)
            for t, s in zip(prepared.setup.teachers, teachers.each, strict=True)
        ),
        ensemble=teachers.ensemble,
        student=student,
        baseline=baseline,
        gain=None if own is None or scratch is None else own - scratch,
        retention=None if own is None or not top else own / top,
        gap_closed=_gap_closed(own, scratch, top),
        network=prepared.network,
        artifacts=artifacts,
        machine=history.machine,
        bit_exact=history.bit_exact,
        resumes=history.resumes,
        teacher_outputs=_teacher_outputs(prepared.setup.output_cache),
        seconds=history.seconds,
    )


def _teacher_outputs(output_cache: TeacherOutputCache | None) -> TeacherOutputs | None:
    if output_cache is None or not output_cache.computed + output_cache.read:
        return None
    return TeacherOutputs(computed=output_cache.computed, read=output_cache.read)


def _gap_closed(own: float | None, scratch: float | None, top: float | None) -> float | None:
    if own is None or scratch is None or top is None or top == scratch:
        return None
    return (own - scratch) / (top - scratch)


def _score(network: nn.Module, prepared: PreparedRun, name: str) -> Score:
    if prepared.eval_set is None:
        return NOT_SCORED
    return score(scorer_of(network, prepared.setup.adapter), prepared.eval_set, f"the {name}")[0]


def _latency(network: nn.Module, input: Input, device: Device) -> float:
    shape = (1, input.channels, input.height, input.width)
    return latency_ms(network, torch.zeros(shape, device=device.torch), device)


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _size_bytes(network: nn.Module) -> int:
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in network.state_dict().items()}
    return len(safetensors.torch.save(tensors))

"""Measures the outcome of a distillation, exports the networks and makes the result."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from kdcore.runs.export import export_network
from kdcore.runs.prepare import PreparedRun
from kdcore.runtime.device import Device
from kdcore.runtime.named_tensors import copy_to_cpu
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
    """Report a teacher's size, latency and score."""
    return NetworkReport(
        name=teacher.name,
        architecture=teacher.spec.architecture,
        parameters=_parameters(teacher.network),
        size_bytes=teacher.size_bytes,
        latency_ms=_latency_ms(teacher.network, teacher.spec.input, device),
        last=scored,
    )


def report_student(name: ArmName, outcome: Outcome, prepared: PreparedRun) -> NetworkReport:
    """Report a finished arm: its size, latency, and the scores of its last and best weights."""
    network, device = prepared.student(name), prepared.setup.shared.device
    network.load_state_dict(outcome.last)
    last = _score(network, prepared, name)
    cost_ms = _latency_ms(network, prepared.student.network.input, device)
    size_bytes = _size_bytes(network)
    best = outcome.best
    best_score = None
    if best is not None:
        network.load_state_dict(best.weights)
        best_score = _score(network, prepared, name)
    return NetworkReport(
        name=name,
        architecture=prepared.student.network.architecture,
        parameters=_parameters(network),
        size_bytes=size_bytes,
        latency_ms=cost_ms,
        last=last,
        best=best_score,
        best_epoch=None if best is None else best.epoch,
    )


def export_all(
    outcomes: Mapping[ArmName, Outcome],
    prepared: PreparedRun,
    formats: Sequence[ExportFormat],
    epochs: int,
    out: Path,
) -> tuple[RunArtifact, ...]:
    """Export the student's last weights in `formats`; its best and the baseline's as safetensors.

    Methods' parameters are left out. Every file is loaded back and compared. `epochs`: number of
    epochs of the student's arm.
    """
    network, student = prepared.student.network, prepared.student("student")
    outcome = outcomes["student"]
    student.load_state_dict(outcome.last)
    artifacts = list(export_network(student, network, out, formats, "student"))
    if outcome.best is not None and outcome.best.epoch != epochs:
        student.load_state_dict(outcome.best.weights)
        artifacts += export_network(
            student, network, out, ("safetensors",), "student-best", "weights_best"
        )
    if "baseline" in outcomes:
        network, scratch = prepared.student.network_of("baseline"), prepared.student("baseline")
        scratch.load_state_dict(outcomes["baseline"].last)
        artifacts += export_network(
            scratch, network, out, ("safetensors",), "baseline", "baseline_weights"
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
    """Make the result; gain, retention and gap closed are of the last epochs' accuracies."""
    shared = prepared.setup.shared
    own, top = student.last.accuracy, teachers.accuracy
    scratch = baseline.last.accuracy if baseline else None
    return DistillResult(
        split=prepared.split,
        teachers=tuple(
            report_teacher(t, s, shared.device)
            for t, s in zip(shared.teachers, teachers.each, strict=True)
        ),
        ensemble=teachers.ensemble,
        student=student,
        baseline=baseline,
        gain=None if own is None or scratch is None else own - scratch,
        retention=None if own is None or not top else own / top,
        gap_closed=_gap_closed(own, scratch, top),
        network=prepared.student.network,
        artifacts=artifacts,
        machine=history.machine,
        bit_exact=history.bit_exact,
        resumes=history.resumes,
        teacher_outputs=_teacher_outputs(shared.output_cache),
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
    scorer = scorer_of(network, prepared.setup.shared.adapter)
    return score(scorer, prepared.eval_set, f"the {name}")[0]


def _latency_ms(network: nn.Module, input: Input, device: Device) -> float:
    shape = (1, input.channels, input.height, input.width)
    return latency_ms(network, torch.zeros(shape, device=device.torch), device)


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _size_bytes(network: nn.Module) -> int:
    return len(safetensors.torch.save(copy_to_cpu(network.state_dict())))

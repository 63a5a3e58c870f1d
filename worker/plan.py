"""Plans an attempt: turns the ids of a claimed job into a RunSpec and the blobs it reads."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from distillery.store.catalog import catalog, teacher_outputs
from distillery.store.db.tables import Dataset, Model
from distillery.store.jobs import Claim
from distillery.wire.jobspec import JobSpec, PlacedModel, distill_run
from distillery.worker.device import DeviceSlot
from kdcore.spec.run import (
    TEACHER_OUTPUTS_DIR,
    DistillRun,
    InspectDatasetRun,
    InspectModelRun,
    Network,
    RunDataset,
    RunSpec,
)

SUFFIXES = {"folder": ".zip", "npz": ".npz", "idx": ".zip"}


@dataclass(frozen=True)
class Plan:
    """What to run, and which blob (sha256) goes to which path of the run directory.

    `outputs`: teacher outputs of earlier jobs; the run can do without them.
    """

    spec: RunSpec
    inputs: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)


def make_plan(session: Session, claim: Claim, slot: DeviceSlot, packs: Path) -> Plan:
    """Plan the run of a claim on a slot; `packs` is the directory of decoded datasets.

    Raises NotFound if a model or dataset was deleted.
    """
    inputs: dict[str, str] = {}
    if claim.spec is not None:
        run = _distill(session, claim, claim.spec, slot, packs, inputs)
        return Plan(run, inputs, _outputs(session, claim, run, inputs))
    assert claim.subject is not None, "an inspection has a subject"
    if claim.task == "inspect_dataset":
        found = catalog.get_dataset(session, claim.tenant, claim.subject)
        return Plan(InspectDatasetRun(dataset=_dataset(found, inputs)), inputs)
    model = catalog.get_model(session, claim.tenant, claim.subject)
    inputs["inputs/weights"] = model.blob
    spec = InspectModelRun.model_validate(
        {"network": model.network, "weights": "inputs/weights", "format": model.format}
    )
    return Plan(spec, inputs)


def _distill(
    session: Session,
    claim: Claim,
    spec: JobSpec,
    slot: DeviceSlot,
    packs: Path,
    inputs: dict[str, str],
) -> DistillRun:
    models = []
    for number, teacher in enumerate(spec.teachers):
        model = catalog.get_model(session, claim.tenant, teacher.model)
        weights = _weights(model, f"inputs/teacher-{number}.safetensors", inputs)
        network = Network.model_validate(model.network)
        models.append(PlacedModel(model.name, network, weights, model.blob))
    initial = None
    if spec.student.initial_model is not None:
        model = catalog.get_model(session, claim.tenant, spec.student.initial_model)
        initial = _weights(model, "inputs/student.safetensors", inputs)
    dataset = catalog.get_dataset(session, claim.tenant, spec.dataset)
    placed = _dataset(dataset, inputs, packs)
    return distill_run(spec, models, initial, placed, device=slot.device, threads=slot.threads)


def _outputs(
    session: Session, claim: Claim, run: DistillRun, inputs: dict[str, str]
) -> dict[str, str]:
    if not run.teacher_cache.enabled:
        return {}
    teachers = [inputs[teacher.weights] for teacher in run.teachers]
    found = teacher_outputs.find(session, claim.tenant, teachers, inputs[run.dataset.path])
    return {f"{TEACHER_OUTPUTS_DIR}/{row.key}.safetensors": row.blob for row in found}


def _weights(model: Model, path: str, inputs: dict[str, str]) -> str:
    assert model.state == "ready", "a job is accepted only with ready models"
    inputs[path] = model.blob
    return path


def _dataset(dataset: Dataset, inputs: dict[str, str], packs: Path | None = None) -> RunDataset:
    path = f"inputs/dataset{SUFFIXES[dataset.format]}"
    inputs[path] = dataset.blob
    known = {"path": path, "format": dataset.format, "sha256": dataset.blob}
    return RunDataset.model_validate(known | {"packs": None if packs is None else str(packs)})

"""Plans: a job's ids become paths in its run directory."""

from pathlib import Path

import pytest

from distillery.store.blobs.blobs import record
from distillery.store.db.tables import Dataset, Model
from distillery.store.errors import NotFound
from distillery.store.jobs import Claim
from distillery.wire.jobspec import JobSpec
from distillery.worker.device import DeviceSlot
from distillery.worker.plan import make_plan
from kdcore.spec.run import DistillRun
from tests.worker.harness import TENANT, WorkerHarness

SPEC = JobSpec.model_validate(
    {
        "teachers": [{"model": "mdl_a", "weight": 2}, {"model": "mdl_b"}],
        "student": {"architecture": "resnet8", "initial_model": "mdl_a"},
        "dataset": "ds_1",
        "stages": [{"epochs": 2, "objectives": [{"method": "kd"}]}],
        "seed": 5,
    }
)
PACKS = Path("/packs")
CLAIM = Claim("job_1", TENANT, "distill", 1, SPEC, None)


@pytest.fixture
def blobs_by_name(harness: WorkerHarness) -> dict[str, str]:
    """Store two teachers and a dataset; returns the sha256 of each."""
    hashes = {}
    with harness.database.write() as session:
        for name in ("a", "b", "data"):
            stored = harness.blobs.put_stream([name.encode()])
            record(session, stored)
            hashes[name] = stored.sha256
        for name in ("a", "b"):
            network = {"architecture": "resnet20", "num_classes": 10}
            session.add(
                Model(
                    id=f"mdl_{name}",
                    tenant=TENANT,
                    name=name,
                    state="ready",
                    format="safetensors",
                    network=network,
                    blob=hashes[name],
                    created_at=0,
                )
            )
        dataset = {"id": "ds_1", "tenant": TENANT, "name": "d", "state": "ready", "format": "idx"}
        session.add(Dataset(**dataset, blob=hashes["data"], created_at=0))
    return hashes


def test_a_distillation_has_paths_and_the_slots_device(
    harness: WorkerHarness, blobs_by_name: dict[str, str]
) -> None:
    with harness.database.read() as session:
        plan = make_plan(session, CLAIM, DeviceSlot("GPU-a", 3), PACKS)
    spec = plan.spec
    assert isinstance(spec, DistillRun)
    assert (spec.device, spec.threads, spec.seed) == ("cuda", 3, 5)
    assert [(t.name, t.weight) for t in spec.teachers] == [("a", 2), ("b", 1)]
    assert spec.stages == SPEC.stages
    assert (spec.dataset.sha256, spec.dataset.packs) == (blobs_by_name["data"], "/packs")
    paths = [t.weights for t in spec.teachers]
    assert spec.student.initial_weights is not None
    named = [*paths, spec.student.initial_weights, spec.dataset.path]
    assert [plan.inputs[path] for path in named] == [
        blobs_by_name[name] for name in ("a", "b", "a", "data")
    ]


def test_a_missing_model_is_named(harness: WorkerHarness) -> None:
    with harness.database.read() as session, pytest.raises(NotFound, match="mdl_a"):
        make_plan(session, CLAIM, DeviceSlot(None, 1), PACKS)

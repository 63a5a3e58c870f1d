"""How often data is parsed on its way through the service: once at every boundary it crosses."""

from pathlib import Path
from typing import Any

import pytest

from distillery.worker.device import DeviceSlot
from distillery.worker.plan import make_plan
from distillery.worker.rundir import RunDir
from kdcore.runtime.specfile import read_spec
from kdcore.spec.recipe import Recipe
from kdcore.spec.run import DistillRun
from tests.api.makers import ApiHarness, ok, spec


@pytest.fixture
def constructed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The class of every recipe that is constructed or copied, in order, on any thread."""
    names: list[str] = []

    def count(cls: type[Recipe], *_: Any, **__: Any) -> Any:
        names.append(cls.__name__)
        return object.__new__(cls)

    monkeypatch.setattr(Recipe, "__new__", count, raising=False)
    return names


def test_a_spec_is_constructed_once_at_every_boundary(
    either: ApiHarness, constructed: list[str], tmp_path: Path
) -> None:
    """A request body, a database row, a written and a read spec.json: four, and no copies."""
    body = spec(either.dataset(), either.teacher(), seed=7, name="a name")
    constructed.clear()
    job = ok(either.http.post("/v1/jobs", json=body))
    assert constructed == ["JobCreate"]
    claim = either.claim(job["id"])
    assert claim.limits.attempts == 3
    assert constructed == ["JobCreate", "JobSpec"]
    with either.database.read() as s:
        plan = make_plan(s, claim, DeviceSlot(None, 1), tmp_path / "packs")
    run_dir = RunDir(tmp_path / "runs", claim.job_id, claim.attempt)
    run_dir.lay_out(plan, either.app.state.services.blobs, lambda: None)
    run = read_spec(run_dir.path)
    assert constructed == ["JobCreate", "JobSpec", "DistillRun", "DistillRun"]
    assert isinstance(run, DistillRun) and run == plan.spec
    assert run.seed == job["spec"]["seed"] == 7
    assert "name" not in job["spec"], "the spec has no field of the request beside it"

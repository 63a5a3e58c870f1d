"""JSON on the pages is valid: specs, parts of specs, networks, problems."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from distillery.wire.common import Problem
from distillery.wire.jobspec import FileSpec, JobSpec
from kdcore.spec.methods import Objective
from kdcore.spec.recipe import Data, Stage
from kdcore.spec.run import Network
from tests.docs.blocks import blocks_of
from tests.docs.test_pages import PAGES

OBJECTIVE: TypeAdapter[Objective] = TypeAdapter(Objective)
GENERATED = {"rest"}  # tests/api/test_openapi.py checks its examples


def _examples() -> Iterator[Any]:
    for name, page in PAGES.items():
        for block in blocks_of(page):
            if block.language == "json" and name not in GENERATED:
                yield pytest.param(json.loads(block.code), id=f"{name}:{block.line}")


@pytest.mark.parametrize("example", list(_examples()))
def test_an_example_is_valid(example: dict[str, Any]) -> None:
    if "status" in example:
        Problem.model_validate(example)
    elif "dataset" in example:
        _check_spec(example)
    elif "stages" in example:
        for stage in example["stages"]:
            Stage.model_validate(stage)
    elif "epochs" in example:
        Stage.model_validate(example)
    elif "data" in example:
        Data.model_validate(example["data"])
    elif "status" in example:
        Problem.model_validate(example)
    elif "architecture" in example:
        Network.model_validate(example)
    else:
        OBJECTIVE.validate_python(example)


def _check_spec(example: dict[str, Any]) -> None:
    """Check a spec: a job's names ids, one for `kd run` names paths."""
    spec = JobSpec if str(example["dataset"]).startswith("ds_") else FileSpec
    spec.model_validate(example)

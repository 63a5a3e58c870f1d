"""docs/methods.md is up to date, and its examples are valid specs."""

import json
import re
from typing import Any

import pytest
from pydantic import TypeAdapter

from distillery.wire.jobspec import JobSpec
from kdcore.spec.methods import KNOBS, Objective
from kdcore.spec.recipe import Stage
from scripts.methods_docs.advice import ADVICE
from scripts.methods_docs.facts import knobs_of, own_knobs, words
from scripts.methods_docs.page import PAGE, build

OBJECTIVE: TypeAdapter[Objective] = TypeAdapter(Objective)
JSON_BLOCK = re.compile(r"```json\n(.*?)\n```", re.DOTALL)
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in JSON_BLOCK.findall(TEXT)]


def test_the_page_is_fresh() -> None:
    assert build() == TEXT, "run: make docs"


def test_every_method_has_advice_and_nothing_else_has() -> None:
    assert set(ADVICE) == set(KNOBS), "see scripts/methods_docs/advice.py"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: next(iter(example)))
def test_examples_are_valid(example: dict[str, Any]) -> None:
    if "teachers" in example:
        JobSpec.model_validate(example)
    elif "stages" in example:
        for stage in example["stages"]:
            Stage.model_validate(stage)
    elif "epochs" in example:
        Stage.model_validate(example)
    else:
        OBJECTIVE.validate_python(example)


@pytest.mark.parametrize("method", KNOBS)
def test_an_example_of_a_method_names_it(method: str) -> None:
    assert f'"method": "{method}"' in ADVICE[method].example


@pytest.mark.parametrize("method", KNOBS)
def test_a_docstring_has_its_parts(method: str) -> None:
    found = words(method)
    assert found.departures and found.letters.startswith("B: batch")
    assert found.text.count("```") % 2 == 0


def test_knobs_come_with_default_range_and_description() -> None:
    [power] = [knob for knob in own_knobs("at") if knob.name == "power"]
    assert (power.default, power.range) == ("`2`", "> 0, ≤ 8")
    [levels] = [knob for knob in knobs_of(KNOBS["crd"]) if knob.name == "levels"]
    assert (levels.default, levels.range) == ("`1`", "1")
    [part] = [knob for knob in own_knobs("ft") if knob.name == "part"]
    assert part.range == "`transfer`, `paraphraser`"
    [middle] = [knob for knob in own_knobs("reviewkd") if knob.name == "middle_width"]
    assert (middle.default, middle.range) == ("none", "1 to 4096, or none")
    assert all(knob.description for method in KNOBS for knob in own_knobs(method))

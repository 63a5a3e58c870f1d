"""Whatever a method learns or remembers survives an interruption to the same bits."""

from pathlib import Path

import pytest

from kdcore.spec.methods import KNOBS
from tests.kdcore.courses import Stages, go_on, hash_of, interrupt, make_course, make_trainer
from tests.kdcore.tiny import HARD, stage

STAGES: dict[str, Stages] = {
    # In a second stage, so that what the first has taught must be there too.
    **{
        method: (stage(HARD), stage(HARD, {"method": method, "weight": 0.01}, epochs=2))
        for method in KNOBS
        if method not in ("simkd", "fsp")  # these have nothing but the student
    },
    "ft, paraphraser first": (
        stage({"method": "ft", "part": "paraphraser"}, epochs=2),
        stage(HARD, {"method": "ft", "weight": 0.1}),
    ),
    "crd, few negatives": (stage(HARD, {"method": "crd", "negatives": 5}, epochs=3),),
}


@pytest.mark.parametrize("name", STAGES)
def test_interrupted_within_a_stage_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    stages = STAGES[name]
    course = make_course(stages)
    control = hash_of(make_trainer(tmp_path / "control", course)[0].run())
    snapshot = interrupt(tmp_path / "run", 8, stages)
    assert go_on(tmp_path / "run", snapshot, stages) == control

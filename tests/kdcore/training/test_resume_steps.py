"""Killed after any step, a run resumes with the same bits: any method, stage layout, precision."""

from pathlib import Path
from typing import Any

import pytest

from kdcore.spec.methods import KNOBS
from tests.kdcore.recording import Case, record, resume, wrong_resumes
from tests.kdcore.tiny import FITNET, HARD, KD, stage

EMA = {"decay": 0.7}
PARAPHRASER = {"method": "ft", "part": "paraphraser"}
ADAMW: dict[str, Any] = {
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
}
ELSEWHERE = ("fsp", "simkd")  # they need networks that fit: below, and in killed_runs.py
LAYOUTS: dict[str, Case] = {
    "one stage": Case((stage(HARD, {**KD, "weight": 4, "weight_end": 1}, epochs=2, **ADAMW),)),
    "fitnet's two stages": Case(
        (stage(FITNET, epochs=2, start_from="last"), stage(HARD, KD, start_from="best", **ADAMW))
    ),
    "fsp's two stages": Case(
        (stage({"method": "fsp"}, epochs=2), stage(HARD, KD, start_from="best")),
        teacher_channels=4,
    ),
    "a stage between the paraphraser's and its use": Case(
        (stage(PARAPHRASER), stage(HARD), stage(HARD, {"method": "ft", "weight": 0.1}))
    ),
    "four stages": Case((stage(HARD), stage(FITNET, **ADAMW), stage(KD), stage(HARD, ema=EMA))),
    "an average": Case((stage(HARD, KD, epochs=2, ema=EMA, **ADAMW), stage(HARD, ema=EMA))),
    "accumulated": Case((stage(HARD, KD, epochs=2), stage(FITNET)), accumulate=2, baseline=True),
    "bfloat16": Case((stage(FITNET), stage(HARD, KD, ema=EMA, **ADAMW)), precision="bf16"),
    "mixed images": Case((stage(HARD, KD, epochs=2),), augment=("crop", "flip", "mixup", "cutmix")),
    "teacher outputs kept": Case((stage(HARD, KD, epochs=4),), augment=("crop",), views=2),
    "everything": Case(
        (
            stage(PARAPHRASER),
            stage(HARD, {"method": "crd", "negatives": 5}, ema=EMA),
            stage(HARD, KD, {"method": "ft", "weight": 0.1}, start_from="best", ema=EMA, **ADAMW),
        ),
        accumulate=2,
        precision="bf16",
        augment=("crop",),
        views=2,
        baseline=True,
    ),
}
METHODS: dict[str, Case] = {
    method: Case((stage(HARD), stage(HARD, {"method": method, "weight": 0.01}, epochs=2)))
    for method in KNOBS
    if method not in ELSEWHERE
}


@pytest.mark.parametrize("name", [*LAYOUTS, *METHODS])
def test_from_every_checkpoint_the_next_is_the_same(name: str, tmp_path: Path) -> None:
    case = {**METHODS, **LAYOUTS}[name]
    frames, end = record(tmp_path / "whole", case)
    assert len(frames) >= 8
    assert not [*wrong_resumes(tmp_path / "again", case, frames)]
    assert resume(tmp_path / "again", case, frames[len(frames) // 2]).weights == end.weights

"""A tiny dataset that a tiny network learns in a few epochs, and job specs that use it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
CLASSES = 4
SIDE = 16
STUDENT = {"architecture": "resnet8", "options": {"width": 0.25}}
Spec = dict[str, Any]


def pictures(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy images (count, 16, 16) of flat, upright, rising or falling stripes, and the labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % CLASSES
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = np.stack([y, x, x + y, x - y])[labels] + generator.integers(0, 4, (count, 1, 1))
    noise = generator.integers(0, 120, (count, SIDE, SIDE))
    return (noise + 100 * (stripes % 4 < 2)).astype(np.uint8), labels


def write_pictures(target: Path, train: int = 320, test: int = 80) -> Path:
    """Write an npz file of such images."""
    x_train, y_train = pictures(train, seed=1)
    x_test, y_test = pictures(test, seed=2)
    np.savez(target, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return target


def readme_spec() -> Spec:
    """The spec that the README submits, with names for the teacher and the dataset."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, text = page.partition("cat > student.json <<'EOF'\n")
    spec: Spec = json.loads(text.partition("EOF\n")[0])
    return spec


def training(dataset: str, *, epochs: int = 4, **more: Any) -> Spec:
    """The spec of plain training of the tiny student."""
    return {
        "student": STUDENT,
        "dataset": dataset,
        "stages": [_stage(epochs, [{"method": "hard_target"}])],
        "data": {"batch_size": 32, "augment": ["crop"]},
        "baseline": False,
        **more,
    }


def distilling(dataset: str, teacher: str, *, epochs: int = 4, **more: Any) -> Spec:
    """The spec of a distillation into the tiny student, with a baseline."""
    return {
        **training(dataset, epochs=epochs),
        "teachers": [{"model": teacher}],
        "stages": [_stage(epochs, [{"method": "kd"}, {"method": "hard_target"}])],
        "baseline": True,
        **more,
    }


def _stage(epochs: int, objectives: list[Spec]) -> Spec:
    return {
        "epochs": epochs,
        "objectives": objectives,
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
    }

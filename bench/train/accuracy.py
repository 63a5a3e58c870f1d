"""Compares accuracy at equal epochs, and epochs to a fixed accuracy, seed by seed.

Our runs with `auto` precision are compared with plain eager float32. The students train on few
images; their teacher was trained on more, different ones.

N: images, B: batch, K: classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from bench.recipes import SCHEDULE
from bench.train import ours
from bench.train.eager import LEARNING_RATE, MOMENTUM, Eager, Pictures, loader
from bench.train.task import (
    DATA_FILE,
    TEACHER_FILE,
    Images,
    fresh,
    load_arrays,
    load_images,
    load_teacher,
    normalised,
)
from kdcore.data.batches import hold_out
from kdcore.spec.names import STUDENT_ACCURACY
from kdcore.spec.recipe import Multistep

TEACHER, STUDENT = "resnet20", "resnet8"
TEACHER_IMAGES = 20_000  # at most
HELD_OUT = 0.5  # share of the students' images; accuracy is measured on it


@dataclass(frozen=True)
class Curve:
    """Accuracy after every epoch, on held-out images that are the same on both sides."""

    side: str
    method: str
    seed: int
    accuracy: list[float]

    def epochs_to(self, wanted: float) -> int | None:
        """The first epoch, counted from 1, that reaches this accuracy."""
        return next((n for n, a in enumerate(self.accuracy, 1) if a >= wanted), None)


@dataclass(frozen=True)
class Trial:
    """What is trained; `images`: how many the students get, half of which are held out."""

    work: Path
    data: Path | None
    methods: Sequence[str]
    seeds: Sequence[int]
    images: int
    epochs: int
    teacher_epochs: int
    threads: int


def measure(trial: Trial) -> tuple[float, list[Curve]]:
    """Train both sides in turn; returns the teacher's accuracy (split of seed 0) and all curves."""
    inputs = trial.work / "accuracy-inputs"
    _prepare(trial, inputs)
    curves = []
    for seed in trial.seeds:
        for method in trial.methods:
            for side in (_eager, _ours):
                curve = side(trial, method, seed, inputs)
                curves.append(curve)
                print(f"{method} seed {seed} {curve.side}: {curve.accuracy[-1]:.4f}", flush=True)
    teacher = load_teacher(inputs, TEACHER)
    images_NHWC, labels_N = load_arrays(inputs)
    _, held_out_N = _split(labels_N, 0)
    return _accuracy(teacher, images_NHWC[held_out_N], labels_N[held_out_N]), curves


def table(curves: Sequence[Curve], wanted: float) -> Iterator[str]:
    """The lines of a Markdown table, one per method and side."""
    yield f"| method | side | last epoch, by seed | mean | epochs to {wanted:.0%}, by seed |"
    yield "|---|---|---|---|---|"
    for method, side in dict.fromkeys((c.method, c.side) for c in curves):
        own = [c for c in curves if (c.method, c.side) == (method, side)]
        last = " ".join(f"{100 * c.accuracy[-1]:.1f}" for c in own)
        epochs = " ".join(str(c.epochs_to(wanted) or "never") for c in own)
        average = 100 * mean(c.accuracy[-1] for c in own)
        yield f"| {method} | {side} | {last} | {average:.2f} | {epochs} |"


def _prepare(trial: Trial, inputs: Path) -> None:
    """Write the students' images, and train the teacher on others."""
    images_NHWC, labels_N = load_images(trial.data)
    inputs.mkdir(parents=True, exist_ok=True)
    own = slice(0, trial.images)
    np.savez(inputs / DATA_FILE, x_train=images_NHWC[own], y_train=labels_N[own])
    others = slice(trial.images, trial.images + TEACHER_IMAGES)
    teacher = fresh(TEACHER, seed=1)
    optimizer = torch.optim.SGD(teacher.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    batches = loader(Pictures(images_NHWC[others], labels_N[others]), workers=0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, trial.teacher_epochs * len(batches)
    )
    torch.manual_seed(1)
    for _ in range(trial.teacher_epochs):
        teacher.train()
        for x_BCHW, labels_B in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(teacher(x_BCHW), labels_B)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    save_file(teacher.state_dict(), inputs / TEACHER_FILE)


def _split(labels_N: Images, seed: int) -> tuple[Images, Images]:
    """Positions of the training and held-out images, split as our runs split them."""
    labels = torch.from_numpy(labels_N.astype(np.int64))
    training_N, held_out_N = hold_out(len(labels), labels, HELD_OUT, seed)
    return training_N.numpy(), held_out_N.numpy()


def _eager(trial: Trial, method: str, seed: int, inputs: Path) -> Curve:
    images_NHWC, labels_N = load_arrays(inputs)
    training_N, held_out_N = _split(labels_N, seed)
    eager = Eager(method, fresh(STUDENT, seed), load_teacher(inputs, TEACHER))
    batches = loader(Pictures(images_NHWC[training_N], labels_N[training_N]), workers=0)
    multistep = Multistep.model_validate(SCHEDULE)
    milestones = [round(share * trial.epochs) for share in multistep.milestones]
    schedule = torch.optim.lr_scheduler.MultiStepLR(eager.optimizer, milestones, multistep.gamma)
    found = []
    for _ in range(trial.epochs):
        eager.train()
        for x_BCHW, labels_B in batches:
            eager.step(x_BCHW, labels_B)
        schedule.step()
        found.append(_accuracy(eager.student, images_NHWC[held_out_N], labels_N[held_out_N]))
    return Curve("plain eager, float32", method, seed, found)


def _ours(trial: Trial, method: str, seed: int, inputs: Path) -> Curve:
    options = ours.RunOptions(
        method,
        images=trial.images,
        threads=trial.threads,
        epochs=trial.epochs,
        seed=seed,
        teacher=TEACHER,
        student=STUDENT,
        validation=HELD_OUT,
    )
    folder = ours.carry_out(options, trial.work / "accuracy-run", inputs)
    values = [e["values"] for e in ours.events_of(folder) if e["kind"] == "metrics"]
    found = [v[STUDENT_ACCURACY] for v in values if STUDENT_ACCURACY in v]
    precision = ours.result_of(folder)["machine"]["precision"]
    return Curve(f"ours, {precision}", method, seed, found)


def _accuracy(net: nn.Module, images_NHWC: Images, labels_N: Images) -> float:
    net.eval()
    with torch.no_grad():
        chunks = torch.split(normalised(images_NHWC), 256)
        predicted_N = torch.cat([net(x_BCHW).argmax(1) for x_BCHW in chunks])
    return float((predicted_N == torch.from_numpy(labels_N.astype(np.int64))).float().mean())

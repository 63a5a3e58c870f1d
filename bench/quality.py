"""Compares the accuracy of a student trained with each method and from scratch.

    python -m bench.quality --data FOLDER [--protocol few] [--student resnet8] [--jobs 2]

FOLDER holds Fashion-MNIST as IDX files (Debian's package dataset-fashion-mnist has them, and
torchvision.datasets.FashionMNIST downloads them). Every run is a `python -m kdcore run` with one
CPU thread (or the GPU); runs that --work already contains are not repeated. Writes a table and its
numbers to bench/results.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.quality_table import Cell, write_tables
from bench.recipes import RECIPES, SCRATCH, Spec, stage_lists
from kdcore.spec.run import TEACHER_OUTPUTS_DIR

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
PLAIN = str.maketrans(" /", "--")  # for folder names


@dataclass(frozen=True)
class Protocol:
    """The amounts of data and training.

    `validation`: the share of the student's images that is held out to choose its best epoch; it
    trains on the rest. `padded`: whether images are padded from 28x28 to 32x32.
    """

    teacher_images: int | None
    teacher_epochs: int
    student_images: int | None
    student_epochs: int
    validation: float
    padded: bool = True
    precision: str = "fp32"


PROTOCOLS = {
    "few": Protocol(20_000, 8, 2_222, 24, 0.1),  # 2,000 to train on, 222 held out
    "reference": Protocol(20_000, 8, 2_000, 24, 0.0),  # like the reference, without a best epoch
    # All 60,000 images, 59,000 to train on; two epochs are feasible on two cores.
    "full": Protocol(None, 8, None, 2, 1 / 60, padded=False, precision="auto"),
}


def student_spec(
    protocol: Protocol, student: str, method: str, seed: int, teacher: Spec | None
) -> Spec:
    """The spec of one run; `teacher`: the network exported by the teacher's run."""
    spec: Spec = {
        "task": "distill",
        "student": {"architecture": student},
        "dataset": {"path": "data", "format": "idx"},
        "stages": stage_lists(method, protocol.student_epochs),
        "data": {
            "batch_size": 64,
            "pad_to": [32, 32] if protocol.padded else None,
            "validation": protocol.validation,
            "train_limit": protocol.student_images,
        },
        "baseline": False,
        "export": ["safetensors"],
        "precision": protocol.precision,
        "threads": 1,
        "seed": seed,
    }
    if teacher is not None and method != SCRATCH:
        spec["teachers"] = [{"network": teacher, "weights": "teacher.safetensors"}]
    return spec


def teacher_spec(protocol: Protocol, architecture: str) -> Spec:
    """The spec of the teacher: trained from scratch on more images, nothing held out."""
    spec = student_spec(protocol, architecture, SCRATCH, 0, None)
    spec["stages"] = stage_lists(SCRATCH, protocol.teacher_epochs)
    spec["data"] |= {"validation": 0.0, "train_limit": protocol.teacher_images}
    return spec


def carry_out(folder: Path, spec: Spec, data: Path, weights: Path | None = None) -> dict[str, Any]:
    """Run a spec unless an earlier call has run the same one in `folder`; returns the result."""
    result, spec_file = folder / "out" / "result.json", folder / "spec.json"
    shared = folder.parent / TEACHER_OUTPUTS_DIR  # the teacher's outputs for the test images
    text = json.dumps(spec, indent=1, sort_keys=True)
    if not (spec_file.exists() and spec_file.read_text() == text):
        shutil.rmtree(folder, ignore_errors=True)  # left by another spec
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shared.mkdir(exist_ok=True)
        links = (("data", data), ("teacher.safetensors", weights), (TEACHER_OUTPUTS_DIR, shared))
        for name, target in links:
            link = folder / name
            link.unlink(missing_ok=True)
            if target is not None:
                link.symlink_to(target.resolve())
        spec_file.write_text(text)
        command = [sys.executable, "-m", "kdcore", "run", str(folder)]
        with (folder / "run.log").open("wb") as log:
            code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
        if code:
            last = (folder / "events.jsonl").read_text().splitlines()[-1]
            raise RuntimeError(f"{folder.name} ended with {code}: {last}")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def measure(args: argparse.Namespace) -> tuple[dict[str, list[Cell]], dict[str, Any]]:
    """Run all methods; returns the cells of each, one per seed, and the teacher's result."""
    protocol = PROTOCOLS[args.protocol]
    base = args.work / args.protocol
    seen = f"{protocol.teacher_images}-{protocol.teacher_epochs}"
    home = args.work / f"teacher-{args.teacher}-{seen}"
    teacher = carry_out(home, teacher_spec(protocol, args.teacher), args.data)
    top = teacher["student"]["last"]["accuracy"]
    print(f"teacher {args.teacher}: {top:.4f}", flush=True)
    network = json.loads((home / "out" / "config.json").read_text())
    weights = home / "out" / "student.safetensors"
    todo = [(method, seed) for method in args.methods for seed in args.seeds]

    def one(job: tuple[str, int]) -> tuple[str, Cell]:
        method, seed = job
        spec = student_spec(protocol, args.student, method, seed, network)
        if args.width != 1.0:
            spec["student"]["options"] = {"width": args.width}
        name = f"{args.teacher}-{args.student}-{args.width}-{method.translate(PLAIN)}-{seed}"
        return method, Cell.of(seed, carry_out(base / name, spec, args.data, weights))

    cells: dict[str, list[Cell]] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        for method, cell in pool.map(one, todo):
            cells.setdefault(method, []).append(cell)
            print(
                f"{method:28} seed {cell.seed}  {cell.last:.4f}  {cell.seconds:.0f} s", flush=True
            )
    return cells, teacher


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table and write the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of Fashion-MNIST's IDX files"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="where runs are kept")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="few")
    parser.add_argument("--teacher", default="resnet20")
    parser.add_argument("--student", default="resnet8")
    parser.add_argument("--width", type=float, default=1.0, help="the student's width multiplier")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="concurrent runs")
    args = parser.parse_args(arguments)
    args.work = args.work.resolve()
    cells, teacher = measure(args)
    print(write_tables(ROOT / "bench" / "results", args, cells, teacher))


if __name__ == "__main__":
    main()

"""Writes the table of `bench.quality`: mean and spread over seeds, retention, gap closed."""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.recipes import SCRATCH

# mdistiller's own distillers with the protocol `reference`, resnet20 teaching resnet8: accuracy of
# the last epoch in percent, mean of seeds 0, 1, 2.
REFERENCE = {
    SCRATCH: 80.6,
    "kd": 85.5,
    "fitnet, joint": 85.2,
    "at": 83.7,
    "sp": 85.1,
    "overhaul": 87.0,
    "reviewkd": 85.7,
    "dkd": 85.6,
    "rkd": 83.1,
}
SECONDS = ("training", "teacher", "evaluating")


@dataclass(frozen=True)
class Cell:
    """One run: test accuracy after the last epoch, and after the best one by validation."""

    seed: int
    last: float
    best: float | None
    seconds: float

    @classmethod
    def of(cls, seed: int, result: Mapping[str, Any]) -> "Cell":
        """Build a cell from a run's result.json."""
        student = result["student"]
        best = None if student["best"] is None else student["best"]["accuracy"]
        seconds = sum(result["seconds"].get(phase, 0.0) for phase in SECONDS)
        return cls(seed, student["last"]["accuracy"], best, seconds)


def write_tables(
    folder: Path,
    args: argparse.Namespace,
    cells: Mapping[str, Sequence[Cell]],
    teacher: Mapping[str, Any],
) -> str:
    """Write a .md and a .json file named after date, pair and hardware; returns the table."""
    machine = teacher["machine"]
    where = "".join(c if c.isalnum() else "-" for c in machine["device"].lower()).strip("-")
    pair = f"{args.protocol}-{args.teacher}-{args.student}-{args.width}"
    stem = f"{datetime.now(UTC):%Y-%m-%d}-quality-{pair}-{where}"
    text = "\n".join(_lines(args, cells, teacher)) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(text)
    numbers = {
        "teacher": teacher["student"]["last"],
        "machine": machine,
        "methods": {method: [asdict(cell) for cell in row] for method, row in cells.items()},
    }
    (folder / f"{stem}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    return text


def _lines(
    args: argparse.Namespace, cells: Mapping[str, Sequence[Cell]], teacher: Mapping[str, Any]
) -> list[str]:
    top = teacher["student"]["last"]["accuracy"]
    scratch = statistics.mean(c.last for c in cells[SCRATCH]) if SCRATCH in cells else None
    machine = teacher["machine"]
    pair = (args.protocol, args.teacher, args.student, args.width)
    comparable = pair[0] != "full" and pair[1:] == ("resnet20", "resnet8", 1.0)
    rows = [
        f"# Fashion-MNIST, protocol `{args.protocol}`: {args.teacher} to {args.student}, "
        f"width {args.width}",
        "",
        f"Teacher {top:.2%} on the 10,000 test images. {machine['device']}, torch "
        f"{machine['torch']}, {machine['precision']}, {machine['threads']} thread per run, "
        f"{args.jobs} concurrent runs.",
        "Accuracy in percent on the test images after the last epoch and the best held-out epoch.",
        "",
        "| method | seeds | last: mean | spread | best: mean | retention | gap closed | reference "
        "| s per run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method, row in cells.items():
        last = [cell.last for cell in row]
        mean = statistics.mean(last)
        spread = statistics.stdev(last) if len(last) > 1 else 0.0
        bests = [cell.best for cell in row if cell.best is not None]
        best = f"{100 * statistics.mean(bests):.1f}" if bests else ""
        closed = (
            "" if scratch is None or top == scratch else _percent(mean - scratch, top - scratch)
        )
        reference = f"{REFERENCE[method]:.1f}" if comparable and method in REFERENCE else ""
        each = " ".join(f"{100 * value:.1f}" for value in last)
        rows.append(
            f"| {method} | {each} | {100 * mean:.1f} | {100 * spread:.1f} | {best} "
            f"| {_percent(mean, top)} | {closed} | {reference} "
            f"| {statistics.mean(c.seconds for c in row):.0f} |"
        )
    return rows


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"

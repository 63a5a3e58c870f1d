"""Formats the tables of the training bench and writes its dated files."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.results_file import RESULTS, Hardware
from bench.train.floor import Rates, Work
from bench.train.speed import (
    EAGER,
    EAGER_FED,
    NOT_IN_PEER,
    OURS_CACHED,
    OURS_FP32,
    PEER,
    Runs,
)
from bench.train.task import BATCH

FLOAT32_SIDES = (EAGER, EAGER_FED, PEER, OURS_FP32)


def speed_table(
    cells: Sequence[Runs], rates: Rates, works: Mapping[str, Work], fast: str
) -> Iterator[str]:
    """The lines of the table of speeds; `fast`: the precision that `auto` selects here."""
    yield (
        "| method | side | images/s | min | max | x eager | x torchdistill | ms per step "
        "| floor ms | x floor |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    lines = []
    for method in dict.fromkeys(cell.method for cell in cells):
        row = [cell for cell in cells if cell.method == method]
        eager = max(c.typical for c in row if c.side in (EAGER, EAGER_FED))
        peer = next((c.typical for c in row if c.side == PEER), None)
        for cell in row:
            precision = "fp32" if cell.side in FLOAT32_SIDES else fast
            floor = max(works[method].floor_ms(rates, precision, cell.side == OURS_CACHED))
            step_ms = 1e3 * BATCH / cell.typical
            against = "" if peer is None else f"{cell.typical / peer:.2f}"
            lines.append(
                f"| {method} | {cell.side} | {cell.typical:.1f} | {min(cell.images_per_s):.1f} "
                f"| {max(cell.images_per_s):.1f} | {cell.typical / eager:.2f} | {against} "
                f"| {step_ms:.0f} | {floor:.0f} | {step_ms / floor:.2f} |"
            )
        if peer is None and method in NOT_IN_PEER:
            lines.append(f"| {method} | {PEER} | does not have this method | | | | | | | |")
    yield from lines


def work_table(rates: Rates, works: Mapping[str, Work], fast: str) -> Iterator[str]:
    """The lines of the table of the floor's components."""
    best = ", ".join(
        f"{name} {rates.gemm[name] / 1e9:.0f} (matrix product) {rates.convolution[name] / 1e9:.0f} "
        "(3x3 convolution)"
        for name in rates.gemm
    )
    yield f"Measured: GFLOP/s {best}; a copy moves {rates.bandwidth / 1e9:.1f} GB/s."
    yield ""
    yield (
        f"| method | GFLOP per step | of these, teacher | {fast}: arithmetic ms | memory ms "
        "| cached: arithmetic ms | memory ms | fp32: arithmetic ms | memory ms |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for method, work in works.items():
        times = (
            *work.floor_ms(rates, fast, False),
            *work.floor_ms(rates, fast, True),
            *work.floor_ms(rates, "fp32", False),
        )
        yield (
            f"| {method} | {work.operations / 1e9:.0f} | {work.teacher_operations / 1e9:.0f} | "
            + " | ".join(f"{value:.0f}" for value in times)
            + " |"
        )


def write(kind: str, lines: Sequence[str], numbers: Mapping[str, Any], hardware: Hardware) -> Path:
    """Write both files, named after date, kind and hardware; returns the table's path."""
    cpu = re.sub(r"[^a-z0-9]+", "-", hardware.cpu.lower()).strip("-")
    where = f"{cpu}-{hardware.cores}-cores-{hardware.threads}-threads"
    stem = f"{datetime.now(UTC):%Y-%m-%d}-train-{kind}-{where}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    table = RESULTS / f"{stem}.md"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = {"hardware": hardware.model_dump(), **numbers}
    (RESULTS / f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return table


def numbers(cells: Sequence[Runs], rates: Rates, works: Mapping[str, Work]) -> dict[str, Any]:
    """All measurements, for the JSON file."""
    return {
        "runs": [asdict(cell) for cell in cells],
        "rates": asdict(rates),
        "work": {method: asdict(work) for method, work in works.items()},
    }

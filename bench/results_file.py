"""Writes measurements as JSON files in bench/results, named after kind, hardware and date."""

import os
import platform
import re
from datetime import date
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict

RESULTS = Path(__file__).parent / "results"


class Hardware(BaseModel):
    """The hardware of a measurement, without the machine's host name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    cores: int
    threads: int
    torch: str


class MethodCost(BaseModel):
    """The cost of one step of a method with hard_target.

    `ms` and `hard_target_ms`: medians, the latter of hard_target alone immediately before each
    step. `ratio`: the median of the ratios.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ms: float
    hard_target_ms: float
    ratio: float


class Measurement(BaseModel):
    """The result of a bench; its file is named after kind, hardware and date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    date: date
    hardware: Hardware


class MethodCosts(Measurement):
    """The result of `python -m bench.method_cost`."""

    kind: Literal["method-cost"] = "method-cost"
    teacher: str
    student: str
    batch_size: int
    image_size: tuple[int, int]
    training_images: int
    repeats: int
    methods: dict[str, MethodCost]


def this_hardware() -> Hardware:
    """Describe the CPU, cores, threads and torch version of this process."""
    name = str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())
    return Hardware(
        cpu=name,
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
    )


def write(made: Measurement, folder: Path = RESULTS) -> Path:
    """Write the file; returns its path."""
    cpu = re.sub(r"[^a-z0-9]+", "-", made.hardware.cpu.lower()).strip("-")
    path = folder / f"{made.kind}_{cpu}_{made.hardware.cores}-cores_{made.date}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def newest(folder: Path = RESULTS) -> MethodCosts | None:
    """The latest measurement of the methods' cost, or None."""
    found = [
        MethodCosts.model_validate_json(path.read_bytes())
        for path in sorted(folder.glob("method-cost_*.json"))
    ]
    return max(found, key=lambda costs: costs.date, default=None)

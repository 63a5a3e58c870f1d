"""Measures all sides with all methods in turn, each run in its own process on all cores."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.recipes import Spec
from bench.train import ours
from bench.train.floor import Rates, Work
from bench.train.task import BATCH, Speed, lay_out

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".bench" / "peers-train" / "bin" / "python"
EAGER, EAGER_FED, PEER = "plain eager", "plain eager, 2 loader workers", "torchdistill"
OURS_FP32, OURS, OURS_CACHED = "ours, fp32", "ours", "ours, cached"
NOT_IN_PEER = ("overhaul",)
CACHEABLE = ("kd",)  # feature maps are not cached
CACHED_EPOCHS = 2  # the first fills the cache


@dataclass
class Runs:
    """Images per second of one side with one method, one run per round."""

    side: str
    method: str
    images_per_s: list[float] = field(default_factory=list)

    @property
    def typical(self) -> float:
        """The median."""
        return median(self.images_per_s)


@dataclass(frozen=True)
class TrainingSetup:
    """What is run; `cache`: the `teacher_cache` of `ours, cached`, None: without that side."""

    methods: Sequence[str]
    rounds: int
    steps: int
    threads: int
    work: Path
    data: Path | None
    cache: Spec | None

    def sides(self) -> list[str]:
        """The sides, in the order of their turns."""
        peer = [PEER] if PEERS.exists() else []
        cached = [] if self.cache is None else [OURS_CACHED]
        return [EAGER, *([EAGER_FED] if self.threads > 1 else []), *peer, OURS_FP32, OURS, *cached]


def measure(setup: TrainingSetup) -> list[Runs]:
    """Run all methods and sides in every round, except methods that a side does not have."""
    inputs = setup.work / "inputs"
    lay_out(inputs, setup.data, setup.steps * BATCH)
    cells: dict[tuple[str, str], Runs] = {}
    for number in range(setup.rounds):
        for method in setup.methods:
            for side in setup.sides():
                if side == PEER and method in NOT_IN_PEER:
                    continue
                if side == OURS_CACHED and method not in CACHEABLE:
                    continue
                speed = _speed(side, method, setup, inputs)
                cell = cells.setdefault((method, side), Runs(side, method))
                cell.images_per_s.append(speed.images_per_s)
                line = (
                    f"round {number + 1}  {method:9} {side:30} {speed.images_per_s:7.1f} images/s"
                )
                print(line, file=sys.stderr, flush=True)
    return list(cells.values())


def floor(setup: TrainingSetup) -> tuple[Rates, dict[str, Work]]:
    """Measure the machine's rates and count every method's work, in a separate process."""
    command = [sys.executable, "-m", "bench.train.floor", "--threads", str(setup.threads)]
    found = _last_line([*command, "--methods", *setup.methods])
    works = {method: Work(**counted) for method, counted in found["work"].items()}
    return Rates(**found["rates"]), works


def _speed(side: str, method: str, setup: TrainingSetup, inputs: Path) -> Speed:
    if side in (EAGER, EAGER_FED, PEER):
        python = str(PEERS) if side == PEER else sys.executable
        module = "bench.train.peer" if side == PEER else "bench.train.eager"
        workers = 2 if side == EAGER_FED else 0
        arguments = {"method": method, "steps": setup.steps, "threads": setup.threads}
        flags = [f"--{name}={value}" for name, value in arguments.items()]
        flags += [f"--folder={inputs}", f"--workers={workers}"]
        return Speed(**_last_line([python, "-m", module, *flags]))
    options = ours.RunOptions(
        method,
        images=setup.steps * BATCH,
        threads=setup.threads,
        precision="fp32" if side == OURS_FP32 else "auto",
        epochs=CACHED_EPOCHS if side == OURS_CACHED else 1,
        cache=setup.cache if side == OURS_CACHED else None,
    )
    return ours.speed(options, setup.work / "run", inputs)


def _last_line(command: Sequence[str]) -> Spec:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:3])} failed:\n{done.stderr[-2000:]}")
    found: Spec = json.loads(done.stdout.splitlines()[-1])
    return found

"""Injects faults into a real service and checks that nothing is lost.

`python -m tests.faults --runs 200 --seed 7`. The same seed draws the same trials; `--only N`
repeats one of them.
"""

import argparse
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import fast_folder
from tests.faults.campaign import Campaign, Trial, draw_trials
from tests.faults.fault import PLACES, Fault, load
from tests.faults.place import Place, postgres_server
from tests.faults.table import document, markdown
from tests.faults.trial import Verdict


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign of the command line; returns 1 if a fault was not survived."""
    faults = load()
    options = _parser().parse_args(arguments)
    if options.list:
        for name, fault in faults.items():
            sys.stdout.write(f"{fault.number:<4} {name:<34} {fault.title}\n")
        return 0
    chosen = _chosen(faults, options.fault)
    seed = options.seed or secrets.token_hex(4)
    sys.stdout.write(f"seed {seed}\n")
    started_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kd-faults-", dir=fast_folder()))
    with _places(options.place) as places:
        trials = draw_trials(seed, options.runs or len(chosen), chosen, places)
        if options.only is not None:
            trials = [trial for trial in trials if trial.number in options.only]
        results = _Results(seed, len(trials), options.out)
        Campaign(folder, min(options.jobs, len(trials)), results.add).run(trials)
    if not any(folder.iterdir()):
        folder.rmdir()  # otherwise it holds the logs of failed trials
    survived = sum(verdict.survived for verdict in results.verdicts.values())
    spent = f"{survived} of {len(trials)} survived in {(time.monotonic() - started_s) / 60:.1f} min"
    sys.stdout.write(f"\n{markdown(results.verdicts)}\nseed {seed}: {spent}; {results.file}\n")
    return int(survived != len(trials))


class _Results:
    """Prints each verdict and writes all so far to disk, in case the campaign is interrupted."""

    def __init__(self, seed: str, planned: int, folder: Path):
        self._seed = seed
        self._planned = planned
        self.file = folder / f"faults-{seed}.json"
        self.verdicts: dict[Trial, Verdict] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, trial: Trial, verdict: Verdict) -> None:
        """Print and save one."""
        self.verdicts[trial] = verdict
        self._print(trial, verdict)
        results = {**document(self._seed, self.verdicts), "planned": self._planned}
        for file, text in (
            (self.file, json.dumps(results, indent=1) + "\n"),
            (self.file.with_suffix(".md"), markdown(self.verdicts)),
        ):
            part = file.with_name(f"{file.name}.part")
            part.write_text(text)
            part.replace(file)

    def _print(self, trial: Trial, verdict: Verdict) -> None:
        word = "survived" if verdict.survived else "NOT SURVIVED"
        runs = " (stand-in runs)" if trial.standin else ""
        sys.stdout.write(
            f"[{len(self.verdicts)}/{self._planned}] {trial.fault.number} {trial.name}"
            f" at {trial.place.name}{runs}, --only {trial.number}:"
            f" {word} in {verdict.seconds:.0f} s. {verdict.outcome}\n"
        )
        for problem in verdict.problems:
            sys.stdout.write(f"    {problem}\n")
        sys.stdout.flush()


def _chosen(faults: dict[str, Fault], wanted: list[str]) -> dict[str, Fault]:
    """The faults with these numbers or names; without any, all but the long ones."""
    if not wanted:
        return {name: fault for name, fault in faults.items() if not fault.long}
    chosen = {
        name: fault
        for name, fault in faults.items()
        if name in wanted or (fault.number in wanted and not fault.long)
    }
    missing = set(wanted) - set(chosen) - {fault.number for fault in chosen.values()}
    if missing:
        raise SystemExit(f"unknown fault {', '.join(sorted(missing))}; see --list")
    return chosen


@contextmanager
def _places(names: list[str]) -> Iterator[list[Place]]:
    if "servers" not in names:
        yield [Place("embedded")]
        return
    with postgres_server(fast_folder() / f"kd-pg-{secrets.token_hex(6)}") as postgres:
        places = {"embedded": Place("embedded"), "servers": Place("servers", postgres)}
        yield [places[name] for name in names]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--runs", type=int, help="number of trials. Default: every fault once")
    parser.add_argument(
        "--seed", help="seed that draws the trials. Default: a random one, which is printed"
    )
    parser.add_argument("--only", type=int, nargs="+", help="run only these trials of the seed")
    parser.add_argument("--place", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--fault", nargs="+", default=[], help="numbers (F6) or names of faults")
    parser.add_argument(
        "--jobs", type=int, default=4, help="number of concurrent services; they mostly wait"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(".faults"), help="directory for the results"
    )
    parser.add_argument("--list", action="store_true", help="list all faults and exit")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Checks the invariants of a service: `python -m tests.faults.check DATABASE_URL`.

Prints a line per invariant, followed by its violations. Exit code 1 if there are any.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from distillery.sdk.uploads import hash_file
from distillery.store.blobs.blobs import make_blobs
from distillery.store.db.database import Database
from tests.faults.invariants.content import bytes_are_whole, weights_are_the_controls
from tests.faults.invariants.evidence import Evidence, Violation, Violations
from tests.faults.invariants.leftovers import nothing_left_over
from tests.faults.invariants.moves import (
    all_end,
    attempts_rise,
    moves_are_legal,
    one_terminal_transition,
)
from tests.faults.invariants.series import series_are_whole
from tests.faults.invariants.waiting import nothing_unsent, one_key_one_job

INVARIANTS: dict[str, tuple[str, Callable[[Evidence], Violations]]] = {
    "I1": ("one terminal transition per job", one_terminal_transition),
    "I2": ("attempts are numbered in order; only the newest writes", attempts_rise),
    "I3": ("all transitions are legal", moves_are_legal),
    "I4": ("every job has ended", all_end),
    "I5": ("blobs match their rows; one set of artifacts per job", bytes_are_whole),
    "I6": ("events and points have no gaps or duplicates", series_are_whole),
    "I7": ("weights equal those of the control", weights_are_the_controls),
    "I8": ("no orphaned process or leftover file", nothing_left_over),
    "I9": ("no job waits that the reaper would not find", nothing_unsent),
    "I10": ("one idempotency key, one job", one_key_one_job),
}


def check(evidence: Evidence) -> dict[str, list[Violation]]:
    """Check every invariant; returns the violations by its number."""
    return {number: list(holds(evidence)) for number, (_, holds) in INVARIANTS.items()}


def problems(evidence: Evidence) -> list[str]:
    """All violations, one line each."""
    return [
        f"{number} {violation.subject}: {violation.message}"
        for number, violations in check(evidence).items()
        for violation in violations
    ]


def main(arguments: list[str] | None = None) -> int:
    """Check the service of the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    blobs = None if options.blobs is None else make_blobs(options.blobs)
    database = Database(options.database)
    with database.read() as session:
        evidence = Evidence(
            session,
            blobs,
            homes=options.home,
            controls=frozenset(hash_file(path) for path in options.control),
            settled=not options.live,
            young_s=60.0 if options.live else 0.0,
        )
        found = check(evidence)
    database.dispose()
    for number, violations in found.items():
        skipped = _skipped(number, evidence)
        verdict = f"{len(violations)} VIOLATED" if violations else skipped or "holds"
        sys.stdout.write(f"{number:<4}{INVARIANTS[number][0]:<58}{verdict}\n")
        for violation in violations:
            sys.stdout.write(f"      {violation.subject}: {violation.message}\n")
    return int(any(found.values()))


def _skipped(number: str, evidence: Evidence) -> str | None:
    """Why an invariant was not fully checked, or None."""
    reasons = {
        "I4": None if evidence.settled else "not checked (--live)",
        "I5": None if evidence.blobs is not None else "rows only (no --blobs)",
        "I7": None if evidence.controls else "not checked (no --control)",
        "I8": None if evidence.homes else "not checked (no --home)",
    }
    return reasons.get(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.check", description=__doc__)
    parser.add_argument(
        "database", metavar="DATABASE_URL", help="sqlite:///... or postgresql://..."
    )
    parser.add_argument("--blobs", metavar="URL", help="URL of the blob storage: file:///DIRECTORY")
    parser.add_argument(
        *("--home",),
        type=Path,
        nargs="*",
        default=[],
        help="directories (KD_HOME) in which no process and no file may be left over",
    )
    parser.add_argument(
        *("--control",),
        type=Path,
        nargs="*",
        default=[],
        help="weights of uninterrupted runs; those of every distillation must equal one of them",
    )
    parser.add_argument(
        "--live", action="store_true", help="the service is running: jobs may be in progress"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Checks what must hold of a service: `python -m tests.faults.check DATABASE_URL`.

A line for each invariant, and under it what violates it. Exit code 1 when anything does.
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
    "I2": ("attempts rise; the newest alone writes", attempts_rise),
    "I3": ("legal transitions only", moves_are_legal),
    "I4": ("every job has ended", all_end),
    "I5": ("bytes are those of their rows; one final set per job", bytes_are_whole),
    "I6": ("events and points without gaps and doubles", series_are_whole),
    "I7": ("weights are the control's", weights_are_the_controls),
    "I8": ("no orphan process, no leftover file", nothing_left_over),
    "I9": ("nothing waits that no reaper would find", nothing_unsent),
    "I10": ("one idempotency key, one job", one_key_one_job),
}


def check(evidence: Evidence) -> dict[str, list[Violation]]:
    """The violations of every invariant, by its number."""
    return {number: list(holds(evidence)) for number, (_, holds) in INVARIANTS.items()}


def problems(evidence: Evidence) -> list[str]:
    """All violations, a line each."""
    return [
        f"{number} {violation.subject}: {violation.message}"
        for number, violations in check(evidence).items()
        for violation in violations
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = _parser().parse_args(arguments)
    blobs = None if given.blobs is None else make_blobs(given.blobs)
    database = Database(given.database)
    with database.read() as session:
        evidence = Evidence(
            session,
            blobs,
            homes=given.home,
            controls=frozenset(hash_file(path) for path in given.control),
            settled=not given.live,
            young_s=60.0 if given.live else 0.0,
        )
        found = check(evidence)
    database.dispose()
    for number, violations in found.items():
        unasked = _unasked(number, evidence)
        verdict = f"{len(violations)} VIOLATED" if violations else unasked or "holds"
        sys.stdout.write(f"{number:<4}{INVARIANTS[number][0]:<58}{verdict}\n")
        for violation in violations:
            sys.stdout.write(f"      {violation.subject}: {violation.message}\n")
    return int(any(found.values()))


def _unasked(number: str, evidence: Evidence) -> str | None:
    """Why an invariant was not checked in full, if it was not."""
    reasons = {
        "I4": None if evidence.settled else "not asked (--live)",
        "I5": None if evidence.blobs is not None else "rows alone (no --blobs)",
        "I7": None if evidence.controls else "not asked (no --control)",
        "I8": None if evidence.homes else "not asked (no --home)",
    }
    return reasons.get(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.check", description=__doc__)
    parser.add_argument(
        "database", metavar="DATABASE_URL", help="sqlite:///... or postgresql://..."
    )
    parser.add_argument("--blobs", metavar="URL", help="where the bytes are: file:///FOLDER")
    parser.add_argument(
        *("--home",),
        type=Path,
        nargs="*",
        default=[],
        help="folders (KD_HOME) in which no process and no file may be left over",
    )
    parser.add_argument(
        *("--control",),
        type=Path,
        nargs="*",
        default=[],
        help="weights of uninterrupted runs; every distillation must have one's hash",
    )
    parser.add_argument(
        "--live", action="store_true", help="the service works: jobs may be under way"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

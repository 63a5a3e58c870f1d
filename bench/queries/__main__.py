"""Measures the hot queries on PostgreSQL at two sizes: `python -m bench.queries`.

Seeds a database by COPY, runs EXPLAIN (ANALYZE, BUFFERS) for every statement of a hot query, fails
if a growing table is scanned or a plan reads far more rows than it returns, and prints the times at
both sizes side by side: those of pages must not grow.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from statistics import median

from pydantic import BaseModel, ConfigDict
from sqlalchemy import text
from sqlalchemy.orm import Session

from bench.machine import Machine, result_file, sentence, this_machine, today
from bench.queries.cases import CASES
from bench.queries.plans import plans_of, rolled_back
from bench.seeds import Seeds, fill
from bench.servers import postgresql
from distillery.store.db.database import Database

REPEATS = 15


class Time(BaseModel):
    """One query at one size.

    `database_ms`: the time that EXPLAIN reports. `call_ms`: the time of the whole call, as the
    service makes it. Both are medians. `rows`: the most rows that a step of a plan read.
    """

    model_config = ConfigDict(frozen=True)

    database_ms: float
    call_ms: float
    rows: int


class Size(BaseModel):
    """All queries at one size; `wrong`: the plans that read too much, by query."""

    model_config = ConfigDict(frozen=True)

    jobs: int
    metric_points: int
    gib: float
    queries: dict[str, Time]
    wrong: dict[str, list[str]]


class Report(BaseModel):
    """The result of `python -m bench.queries`."""

    date: date
    machine: Machine
    server: str
    sizes: list[Size]


def measure(seeds: Seeds) -> tuple[Size, str]:
    """Measure all queries on a new server; returns the server's version too."""
    with postgresql() as url:
        database = Database(url, timeout_s=None)
        database.migrate()
        begun_s = time.monotonic()
        fill(database, seeds)
        took_s = time.monotonic() - begun_s
        print(f"{seeds.jobs:,} jobs, {seeds.metric_points:,} points in {took_s:.0f} s", flush=True)
        times: dict[str, Time] = {}
        wrong: dict[str, list[str]] = {}
        for name in CASES:
            times[name], bad = _measure(database, seeds, name)
            if bad:
                wrong[name] = bad
        with database.read() as session:
            size = session.scalar(text("SELECT pg_database_size(current_database())")) or 0
            server = str(session.scalar(text("SHOW server_version")))
        database.dispose()
    gib = round(size / 2**30, 2)
    found = Size(
        jobs=seeds.jobs, metric_points=seeds.metric_points, gib=gib, queries=times, wrong=wrong
    )
    return found, f"PostgreSQL {server.split()[0]}"


def _measure(database: Database, seeds: Seeds, name: str) -> tuple[Time, list[str]]:
    case = CASES[name]
    plans = [plans_of(database, lambda s: case.ask(s, seeds)) for _ in range(REPEATS)]
    calls_ms = [_call_ms(database, lambda s: case.ask(s, seeds)) for _ in range(REPEATS)]
    last = plans[-1]
    bad = [plan for plan in last if plan.scans or plan.rows > case.reads]
    found = Time(
        database_ms=round(median(sum(plan.ms for plan in one) for one in plans), 2),
        call_ms=round(median(calls_ms), 2),
        rows=max(plan.rows for plan in last),
    )
    return found, [line for plan in bad for line in (plan.statement, *plan.lines)]


def _call_ms(database: Database, ask: Callable[[Session], object]) -> float:
    with rolled_back(database) as session:
        begun_s = time.perf_counter()
        ask(session)
        return (time.perf_counter() - begun_s) * 1e3


def table(sizes: Sequence[Size]) -> Iterator[str]:
    """The lines of a Markdown table."""
    names = [f"{size.jobs:,} jobs" for size in sizes]
    columns = [f"{name}, {what}" for name in names for what in ("database ms", "call ms", "rows")]
    yield f"| query | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name in CASES:
        times = [size.queries[name] for size in sizes]
        cells = [f"{t.database_ms:.2f} | {t.call_ms:.1f} | {t.rows:,}" for t in times]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> int:
    """Measure, print and write the file; returns 1 if a plan reads too much."""
    parser = argparse.ArgumentParser(description="Measure the hot queries on PostgreSQL.")
    parser.add_argument("--jobs", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument(
        "--points", type=int, default=1000, help="points per series (default: 1000)"
    )
    parser.add_argument("--dry-run", action="store_true", help="do not write a file")
    given = parser.parse_args()
    machine = this_machine()
    # One job in 400 has curves: a million jobs have 10,000,000 points.
    found = [measure(Seeds(jobs, max(25, jobs // 400), given.points)) for jobs in given.jobs]
    sizes = [size for size, _ in found]
    print("\n".join(table(sizes)))
    for size in sizes:
        for name, lines in size.wrong.items():
            print("\n".join([f"WRONG at {size.jobs:,} jobs: {name}", *lines]))
    print(sentence(machine))
    if not given.dry_run:
        report = Report(date=today(), machine=machine, server=found[0][1], sizes=sizes)
        path = result_file("queries", machine, "json")
        path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        print(f"written to {path.relative_to(path.parents[2])}")
    return 1 if any(size.wrong for size in sizes) else 0


if __name__ == "__main__":
    sys.exit(main())

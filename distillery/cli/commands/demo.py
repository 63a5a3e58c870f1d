"""`kd demo`: trains a teacher and distils a student in a few minutes, with the real service."""

import _thread
import signal
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from distillery.cli.commands.common import require_extras, terminal
from distillery.cli.commands.watching import print_result
from distillery.cli.demo import Outcome, play
from distillery.cli.terminal import Terminal
from distillery.local.service import LocalService
from distillery.sdk.client import Client
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.sdk.format import percent
from kdcore.spec.result import DistillResult, NetworkReport


def demo(
    context: typer.Context,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the student's job.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(help="Several seeds separated by commas; prints mean and spread too."),
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Home folder of the demo. Default: .kd/demo."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the service running until Ctrl-C.")
    ] = False,
) -> None:
    """Train a teacher on real digits, distil a much smaller student, and compare them."""
    term = terminal(context)
    chosen = _seeds(seeds) if seeds else [seed]
    require_extras("kd demo", "all")
    folder = (home or term.settings.home / "demo").absolute()
    started_s = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    service = LocalService(
        folder,
        host="127.0.0.1",
        port=0,
        on_message=lambda line: term.err.print(line, markup=False, highlight=False, soft_wrap=True),
        on_failure=_thread.interrupt_main,
    )
    try:
        with term.err.status("Starting the service"):
            service.start()
        term.print(f"[green]✓[/] service at {service.url}")
        with Client(service.url, progress=not term.as_json and term.err.is_terminal) as client:
            outcome = play(term, client, folder / "out", chosen)
        report(term, outcome, time.monotonic() - started_s)
        if keep:
            term.print(f"\nThe dashboard is at {service.url}. Ctrl-C stops the service.")
            threading.Event().wait()
    except KeyboardInterrupt:
        if service.failure:
            raise service.failure from None
        if not keep:
            raise
    finally:
        service.stop()
    if not keep:
        term.print(f"[dim]See it all in the dashboard: kd up --home {_short(folder)}[/]")


def report(term: Terminal, outcome: Outcome, took_s: float) -> None:
    """Print the table of the first seed, and for several seeds their mean and spread."""
    results = [job.result for job in outcome.jobs if job.result is not None]
    if not results:
        raise ClientError("The jobs ended without a result.")
    if term.print_json_line({"results": [result.model_dump(mode="json") for result in results]}):
        return
    term.print("")
    print_result(term, results[0])
    if len(results) > 1:
        term.out.print(_spread_table(outcome, results), highlight=False)
    term.print(f"The files are in {_short(outcome.folder)}. The demo took {took_s:.0f} s.")


def _spread_table(outcome: Outcome, results: Sequence[DistillResult]) -> Table:
    """Accuracy on held-out data per seed, then mean and standard deviation."""
    table = Table(
        "seed", "teacher", "student, distilled", "same, from scratch", "gain", box=box.SIMPLE_HEAD
    )
    rows: list[tuple[float, ...]] = []
    for job, result in zip(outcome.jobs, results, strict=True):
        assert result.baseline is not None and job.spec is not None
        row = tuple(
            _accuracy(report) for report in (result.teachers[0], result.student, result.baseline)
        )
        rows.append(row)
        table.add_row(str(job.spec.seed), *map(percent, row), _points(row[1] - row[2]))
    gains = [row[1] - row[2] for row in rows]
    columns = [list(column) for column in zip(*rows, strict=True)]
    table.add_section()
    mean = [statistics.mean(column) for column in columns]
    table.add_row("mean", *map(percent, mean), _points(statistics.mean(gains)))
    spread = [statistics.stdev(column) for column in columns]
    table.add_row("spread", *map(percent, spread), _points(statistics.stdev(gains), sign=""))
    return table


def _accuracy(report: NetworkReport) -> float:
    assert report.last.accuracy is not None  # the digits are labelled
    return report.last.accuracy


def _points(value: float, sign: str = "+") -> str:
    return f"{value * 100:{sign}.1f} points"


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise UsageMistake(f"--seeds takes numbers separated by commas, not {text!r}.") from error


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)

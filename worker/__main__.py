"""`python -m worker jobs` runs jobs; `python -m worker sweep` looks after leases and rings."""

import argparse
import logging
import sys
import time
from functools import partial

from bell.app import make_app
from bell.config import BellSettings
from bell.ring import Bell
from kdcore.spec import failpoints
from store.blobs import make_blobs
from store.config import StoreSettings
from store.db import Database
from store.errors import Unavailable
from store.parts import Parts
from store.retention import Collector
from store.schema import SchemaMismatch
from telemetry import logs, traces
from telemetry.config import TelemetrySettings
from worker import metrics, tasks
from worker.bench import Bench
from worker.config import WorkerSettings
from worker.device import find_gpus, make_slots
from worker.floor import Floor
from worker.runner import KDCORE, Command
from worker.steady import SteadyClock
from worker.sweep import BYTES_EVERY_S, collecting, sweep

logger = logging.getLogger("worker")


def open_database(url: str) -> Database:
    """A database that answers and has our schema; waits for the first, raises SchemaMismatch."""
    database = Database(url)
    while True:
        try:
            database.ping()
            database.check_schema()
        except Unavailable as error:
            where = database.engine.url.render_as_string(hide_password=True)
            logger.warning("waiting for the database at %s: %s", where, error.reason)
            time.sleep(2)
        else:
            return database


def run_jobs(
    settings: WorkerSettings,
    stored: StoreSettings,
    bell: BellSettings,
    command: Command = KDCORE,
) -> int:
    """The jobs program; returns its exit code. `command` runs a run directory."""
    failpoints.arm(stored.failpoint)
    if stored.failpoint is not None:
        command = (*command, "--failpoint", stored.failpoint)
    database = open_database(stored.database)
    # A beat that gets no answer must be tried again well before half of the lease is over.
    beats = Database(stored.database, answer_s=max(2.0, settings.lease_s / 8))
    bench = Bench(settings, database, beats, make_blobs(stored.blobs), command)
    slots = make_slots(find_gpus(settings.gpus), settings.slots, settings.threads)
    floor = Floor(bench, slots)
    metrics.serve(settings, floor.slots)
    logger.info("worker %s with slots %s", floor.name, slots)
    return tasks.serve_jobs(make_app(bell), floor)


def run_sweep(settings: WorkerSettings, stored: StoreSettings, bell: BellSettings) -> int:
    """The sweep program; returns its exit code."""
    failpoints.arm(stored.failpoint)
    database = open_database(stored.database)
    app = make_app(bell)
    parts, blobs = Parts(stored.uploads), make_blobs(stored.blobs)
    clock, runs = SteadyClock(settings.lease_s), settings.runs
    once = partial(sweep, database, parts, blobs, Bell(app), clock, runs, settings.sweep_s)
    collector = Collector(database, blobs, parts, runs, settings, BYTES_EVERY_S)
    with collecting(collector):
        return tasks.serve_sweep(app, once, settings.sweep_s)


def main(arguments: list[str] | None = None) -> int:
    """The command line; settings come from KD_* variables."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("program", choices=["jobs", "sweep"])
    chosen = parser.parse_args(arguments).program
    program = {"jobs": run_jobs, "sweep": run_sweep}[chosen]
    telemetry = TelemetrySettings()
    logs.set_up(telemetry)
    traces.set_up({"jobs": "distillery-worker", "sweep": "distillery-sweep"}[chosen], telemetry)
    try:
        return program(WorkerSettings(), StoreSettings(), BellSettings())
    except SchemaMismatch as error:
        logger.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""`python -m distillery.worker jobs` runs jobs; `reaper` requeues those whose worker is gone."""

import argparse
import logging
import sys
import time
from functools import partial

from kdcore.spec import distribution, failpoints

if __name__ == "__main__":  # before the imports that would fail
    distribution.require("python -m distillery.worker", "server")

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.notify import Notifier
from distillery.store.blobs.blobs import make_blobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database
from distillery.store.db.schema import SchemaMismatch
from distillery.store.errors import Unavailable
from distillery.store.ops.retention import Collector
from distillery.telemetry import logs, traces
from distillery.telemetry.config import TelemetrySettings
from distillery.worker import metrics, tasks
from distillery.worker.clock_guard import ClockGuard
from distillery.worker.config import WorkerSettings
from distillery.worker.context import WorkerContext
from distillery.worker.device import find_gpus, make_slots
from distillery.worker.dispatcher import Dispatcher
from distillery.worker.reaper import BYTES_EVERY_S, collecting, reap
from distillery.worker.runner import KDCORE, Command

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
    notifier: BrokerSettings,
    command: Command = KDCORE,
) -> int:
    """The jobs program; returns its exit code. `command` runs a run directory."""
    failpoints.arm(stored.failpoint)
    if stored.failpoint is not None:
        command = (*command, "--failpoint", stored.failpoint)
    database = open_database(stored.database)
    # A beat that gets no answer must be tried again well before half of the lease is over.
    lease_database = Database(stored.database, answer_s=max(2.0, settings.lease_s / 8))
    context = WorkerContext(settings, database, lease_database, make_blobs(stored.blobs), command)
    slots = make_slots(find_gpus(settings.gpus), settings.slots, settings.threads)
    dispatcher = Dispatcher(context, slots)
    metrics.serve(settings, dispatcher.slots)
    logger.info("worker %s with slots %s", dispatcher.name, slots)
    return tasks.serve_jobs(make_app(notifier), dispatcher)


def run_reaper(settings: WorkerSettings, stored: StoreSettings, notifier: BrokerSettings) -> int:
    """The reaper program; returns its exit code."""
    failpoints.arm(stored.failpoint)
    database = open_database(stored.database)
    app = make_app(notifier)
    parts, blobs = UploadParts(stored.uploads), make_blobs(stored.blobs)
    clock, runs = ClockGuard(settings.lease_s), settings.runs
    once = partial(reap, database, parts, blobs, Notifier(app), clock, runs, settings.reaper_s)
    collector = Collector(database, blobs, parts, runs, settings, BYTES_EVERY_S)
    with collecting(collector):
        return tasks.serve_reaper(app, once, settings.reaper_s)


def main(arguments: list[str] | None = None) -> int:
    """The command line; settings come from KD_* variables."""
    parser = argparse.ArgumentParser(prog="python -m distillery.worker", description=__doc__)
    parser.add_argument("program", choices=["jobs", "reaper"])
    chosen = parser.parse_args(arguments).program
    if chosen == "jobs":
        distribution.require("python -m distillery.worker", "train")
    program = {"jobs": run_jobs, "reaper": run_reaper}[chosen]
    telemetry = TelemetrySettings()
    logs.set_up(telemetry)
    traces.set_up({"jobs": "distillery-worker", "reaper": "distillery-reaper"}[chosen], telemetry)
    try:
        return program(WorkerSettings(), StoreSettings(), BrokerSettings())
    except SchemaMismatch as error:
        logger.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())

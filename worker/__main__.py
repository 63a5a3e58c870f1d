"""`python -m distillery.worker jobs` runs jobs; `reaper` requeues those of lost workers."""

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
from distillery.worker.reaper import SCAN_EVERY_S, collecting, reap
from distillery.worker.runner import KDCORE, Command

logger = logging.getLogger("worker")


def open_database(url: str) -> Database:
    """Connect to the database, waiting until it answers. Raises SchemaMismatch."""
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
    store: StoreSettings,
    broker: BrokerSettings,
    command: Command = KDCORE,
) -> int:
    """Run the jobs program; returns its exit code. `command` starts a run."""
    failpoints.arm(store.failpoint)
    if store.failpoint is not None:
        command = (*command, "--failpoint", store.failpoint)
    database = open_database(store.database)
    # A renewal that gets no answer must be retried well before half of the lease is over.
    lease_database = Database(store.database, timeout_s=max(2.0, settings.lease_s / 8))
    context = WorkerContext(settings, database, lease_database, make_blobs(store.blobs), command)
    slots = make_slots(find_gpus(settings.gpus), settings.slots, settings.threads)
    dispatcher = Dispatcher(context, slots)
    metrics.serve(settings, dispatcher.slots)
    logger.info("worker %s with slots %s", dispatcher.name, slots)
    return tasks.serve_jobs(make_app(broker), dispatcher)


def run_reaper(settings: WorkerSettings, store: StoreSettings, broker: BrokerSettings) -> int:
    """Run the reaper program; returns its exit code."""
    failpoints.arm(store.failpoint)
    database = open_database(store.database)
    app = make_app(broker)
    parts, blobs = UploadParts(store.uploads), make_blobs(store.blobs)
    clock, runs = ClockGuard(settings.lease_s), settings.runs
    reap_once = partial(reap, database, parts, blobs, Notifier(app), clock, runs, settings.reaper_s)
    collector = Collector(database, blobs, parts, runs, settings, SCAN_EVERY_S)
    with collecting(collector):
        return tasks.serve_reaper(app, reap_once, settings.reaper_s)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run a program; settings come from KD_* variables."""
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

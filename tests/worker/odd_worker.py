"""The jobs program of `python -m distillery.worker jobs`, with odd_run.py as its runs."""

import sys

from distillery.broker.config import BrokerSettings
from distillery.store.config import StoreSettings
from distillery.telemetry import logs, traces
from distillery.telemetry.config import TelemetrySettings
from distillery.worker.__main__ import run_jobs
from distillery.worker.config import WorkerSettings
from tests.worker.harness import ODD_RUN

if __name__ == "__main__":
    telemetry = TelemetrySettings()
    logs.set_up(telemetry)
    traces.set_up("distillery-worker", telemetry)
    sys.exit(run_jobs(WorkerSettings(), StoreSettings(), BrokerSettings(), ODD_RUN))

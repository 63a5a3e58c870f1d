"""The jobs program as `python -m worker jobs` starts it, its runs odd ones."""

import sys

from bell.config import BellSettings
from store.config import StoreSettings
from telemetry import logs, traces
from telemetry.config import TelemetrySettings
from tests.worker.conftest import ODD_RUN
from worker.__main__ import run_jobs
from worker.config import WorkerSettings

if __name__ == "__main__":
    telemetry = TelemetrySettings()
    logs.set_up(telemetry)
    traces.set_up("distillery-worker", telemetry)
    sys.exit(run_jobs(WorkerSettings(), StoreSettings(), BellSettings(), ODD_RUN))

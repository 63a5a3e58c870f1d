"""The jobs program as `python -m worker jobs` starts it, its runs odd ones."""

import logging
import sys

from bell.config import BellSettings
from store.config import StoreSettings
from tests.worker.conftest import ODD_RUN
from worker.__main__ import run_jobs
from worker.config import WorkerSettings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    sys.exit(run_jobs(WorkerSettings(), StoreSettings(), BellSettings(), ODD_RUN))

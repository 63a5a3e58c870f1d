"""The stores' and the workers' fixtures."""

from tests.store.conftest import blobs as blobs
from tests.store.conftest import parts as parts
from tests.worker.conftest import harness as harness
from tests.worker.conftest import pg_harness as pg_harness

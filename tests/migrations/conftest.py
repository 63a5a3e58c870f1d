"""The stores' and the workers' fixtures."""

from tests.store.conftest import blobs as blobs
from tests.store.conftest import parts as parts
from tests.worker.conftest import pg_shop as pg_shop
from tests.worker.conftest import shop as shop

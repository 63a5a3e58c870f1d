"""The main job on PostgreSQL and a Redis-protocol broker."""

from pathlib import Path

import pytest

from tests.e2e.service import Service
from tests.e2e.test_main_job import check_main_job

pytestmark = pytest.mark.e2e


def test_the_main_job_on_postgresql_and_redis(
    tmp_path: Path, postgres_url: str, broker_url: str
) -> None:
    servers = {"KD_DATABASE_URL": postgres_url, "KD_BROKER_URL": broker_url}
    with Service(tmp_path / "home", **servers) as service:
        check_main_job(service.client, tmp_path)
    assert not list((tmp_path / "home").glob("*.sqlite"))
    assert not (tmp_path / "home" / "broker").exists()

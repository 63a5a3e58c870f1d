"""A database connection that is slow, deaf, or reset: an answer in bounded time, then recovery."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from distillery.store.db import pg_deadline
from distillery.store.db.database import Database
from distillery.store.errors import Unavailable
from tests.faults.proxy import Proxy
from tests.faults.servers import proxy_for, through


@pytest.fixture
def proxy(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(pg_deadline, "PING_S", 0.5)
    with proxy_for(postgres_url, delay_s=0.02) as proxy:
        yield proxy


@pytest.fixture
def database(proxy: Proxy, postgres_url: str) -> Iterator[Database]:
    database = Database(through(proxy, postgres_url), timeout_s=1.0)
    yield database
    database.dispose()


def test_a_slow_connection_is_only_slow(proxy: Proxy, database: Database) -> None:
    proxy.set_mode("slow")
    database.ping()


def test_a_hole_within_a_statement_ends_it(proxy: Proxy, database: Database) -> None:
    with pytest.raises(Unavailable), database.write() as s:
        s.execute(text("SELECT 1"))
        proxy.set_mode("hole")
        s.execute(text("SELECT 2"))
    proxy.set_mode("pass")
    database.ping()


def test_a_hole_that_swallowed_an_idle_connection_costs_the_ping_alone(
    proxy: Proxy, database: Database
) -> None:
    database.ping()
    proxy.set_mode("hole")
    threading.Timer(0.2, proxy.set_mode, ["pass"]).start()  # too late for the question
    database.ping()


def test_a_reset_within_a_transaction_is_an_error_and_the_next_works(
    proxy: Proxy, database: Database
) -> None:
    with pytest.raises(Unavailable), database.write() as s:
        s.execute(text("SELECT 1"))
        proxy.reset()
        time.sleep(0.2)
        s.execute(text("SELECT 2"))
    database.ping()


def test_a_refusing_server_is_unavailable_and_then_is_not(proxy: Proxy, database: Database) -> None:
    database.ping()
    proxy.set_mode("refuse")
    with pytest.raises(Unavailable):
        database.ping()
    proxy.set_mode("pass")
    database.ping()


def test_a_statement_that_takes_long_is_given_up_by_the_server(postgres_url: str) -> None:
    database = Database(postgres_url, timeout_s=0.3)
    with pytest.raises(Unavailable), database.read() as s:
        s.execute(text("SELECT pg_sleep(60)"))
    running_job = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sle%'"
        " AND state = 'active'"
    )
    with database.read() as s:
        assert s.scalar(running_job) == 0
    database.dispose()


def test_without_a_bound_a_statement_takes_its_time(postgres_url: str) -> None:
    database = Database(postgres_url, timeout_s=None)
    with database.read() as s:
        assert s.scalar(text("SHOW statement_timeout")) == "0"
    database.dispose()

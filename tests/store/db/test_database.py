"""Sessions: reading changes nothing, writing is all or nothing, errors have our names."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from distillery.store.db import engine
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Job
from distillery.store.errors import Invalid, NotFound, Unavailable
from tests.store.makers import add_job, new_job


def test_database_time_is_now_and_never_goes_back(database: Database) -> None:
    with database.read() as s:
        first, second = db_now(s), db_now(s)
    assert abs(first - time.time() * 1000) < 5000
    assert first <= second


def test_reading_refuses_to_write(database: Database) -> None:
    job_id = new_job(database)
    with pytest.raises(DBAPIError, match=r"read-?only"), database.read() as s:
        s.get_one(Job, job_id).name = "changed"
        s.flush()
    with database.write() as s:
        assert s.get_one(Job, job_id).name == "a job"
        s.get_one(Job, job_id).name = "changed"


def test_a_raise_rolls_everything_back(database: Database) -> None:
    with pytest.raises(NotFound), database.write() as s:
        job_id = add_job(s).id
        raise NotFound("something else")
    with database.read() as s:
        assert s.get(Job, job_id) is None


def test_rows_stay_usable_after_their_session(database: Database) -> None:
    with database.write() as s:
        job = add_job(s)
    assert job.name == "a job"


def test_a_value_the_database_cannot_hold_is_the_users_mistake(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(Invalid, match="does not fit"), database.read() as s:
        s.execute(text("SELECT :x"), {"x": "nul \x00 byte"})
    database.dispose()


def test_writers_of_sqlite_wait_for_each_other(
    sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour that holds the lock delays a write; it does not break it."""
    database = Database(f"sqlite:///{sqlite_template}")
    neighbour = sqlite3.connect(sqlite_template, isolation_level=None, check_same_thread=False)
    neighbour.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: neighbour.execute("ROLLBACK"))
    release.start()
    with database.write() as s:
        job_id = add_job(s).id
    release.join()
    with database.write() as s:
        s.execute(text("DELETE FROM transitions WHERE job_id = :id"), {"id": job_id})
        s.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": job_id})
    database.dispose()

    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 50)
    impatient = Database(f"sqlite:///{sqlite_template}")
    neighbour.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable), impatient.write() as s:
        add_job(s)
    neighbour.close()
    impatient.dispose()


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        Database("postgresql://nobody@127.0.0.1:1/none").ping()


def test_a_missing_table_is_our_mistake_not_an_outage(sqlite_url: str) -> None:
    with pytest.raises(OperationalError, match="no such table"), Database(sqlite_url).read() as s:
        s.execute(text("SELECT * FROM jobs"))


def test_postgresql_survives_a_lost_connection(postgres_url: str) -> None:
    """A connection that died in the pool causes no error."""
    database = Database(postgres_url)
    with database.read() as s:
        pid = s.scalar(text("SELECT pg_backend_pid()"))
    killer = Database(postgres_url)
    with killer.write() as s:
        s.execute(text("SELECT pg_terminate_backend(:pid, 1000)"), {"pid": pid})
    database.ping()
    database.dispose()
    killer.dispose()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"unsupported|needs a file"):
        Database(url)


def test_sqlite_is_durable_and_checks_foreign_keys(sqlite_url: str) -> None:
    with Database(sqlite_url).read() as s:
        pragmas = {
            name: s.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

"""Migrations create exactly the tables, and drop them, once among concurrent processes."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect, text

from distillery.store.db import schema
from distillery.store.db.database import Database
from distillery.store.db.tables import Table

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without any table."""
    database = Database(request.getfixturevalue(request.param))
    yield database
    database.dispose()


def test_migrations_equal_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_constraints_have_the_names_of_the_tables(database: Database) -> None:
    """compare_metadata does not look at checks and primary keys."""
    inspector = inspect(database.engine)
    for table in Table.metadata.sorted_tables:
        checks = {check["name"] for check in inspector.get_check_constraints(table.name)}
        wanted = {c.name for c in table.constraints if isinstance(c, CheckConstraint)}
        assert checks == wanted
        assert inspector.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
        keys = {key["name"] for key in inspector.get_foreign_keys(table.name)}
        assert keys == {c.name for c in table.foreign_key_constraints}


def test_head_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.SCRIPTS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_down_and_up_again(empty: Database) -> None:
    empty.migrate()
    schema.migrate(empty.engine, "base")
    assert set(inspect(empty.engine).get_table_names()) == {"alembic_version"}
    empty.migrate()
    empty.check_schema()


def test_again_changes_nothing(database: Database) -> None:
    database.migrate()
    database.check_schema()


def test_many_at_once_migrate_once(empty: Database) -> None:
    """Without the lock the second CREATE TABLE fails."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: empty.migrate(), range(4)))
    empty.check_schema()


def test_two_processes_at_once(sqlite_url: str) -> None:
    code = f"from distillery.store.db.database import Database; Database({sqlite_url!r}).migrate()"
    running = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    Database(sqlite_url).check_schema()


def test_check_names_the_command(empty: Database) -> None:
    with pytest.raises(schema.SchemaMismatch, match=r"python -m distillery\.store migrate"):
        empty.check_schema()


def test_a_newer_schema_is_refused_and_left_alone(empty: Database) -> None:
    empty.migrate()
    with empty.write() as s:
        s.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(schema.SchemaMismatch, match="newer"):
        empty.check_schema()
    with pytest.raises(schema.SchemaMismatch, match="does not know"):
        empty.migrate()

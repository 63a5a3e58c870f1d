"""Migrates the schema, once and under a lock, and refuses another version's schema."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

HEAD = "0001"  # the newest revision in migrations/versions, as a test checks
SCRIPTS = Path(__file__).parents[2] / "migrations"
COMMAND = "python -m distillery.store migrate"
_LOCK_NUMBER = 0x6B64_6D69  # "kdmi": the same for every process that migrates a database


class SchemaMismatch(RuntimeError):
    """The database's schema is not the one that this program needs."""


def current(connection: Connection) -> str | None:
    """Return the database's revision, or None if it was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def check(engine: Engine) -> None:
    """Raise SchemaMismatch, with the command to run, unless the database is at HEAD."""
    with engine.connect() as connection:
        revision = current(connection)
    if revision == HEAD:
        return
    if revision is None or revision < HEAD:
        state = "has no schema yet" if revision is None else f"is at schema {revision}"
        raise SchemaMismatch(f"the database {state}, this program needs {HEAD}: run `{COMMAND}`")
    raise SchemaMismatch(
        f"the database is at schema {revision}, newer than {HEAD} of this program: run a newer "
        f"version, or go back with `{COMMAND} --to {HEAD}` of the newer one"
    )


def migrate(engine: Engine, revision: str = "head") -> None:
    """Move the database to `revision`, up or down, in one transaction."""
    with _migration_lock(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A migration may take longer than any request.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        _run(connection, revision)


def _run(connection: Connection, revision: str) -> None:
    # Alembic is slow to import, and only migrations need it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    now = current(connection)
    if now is not None and now not in known:
        raise SchemaMismatch(
            f"the database is at schema {now}, which this program does not know: run the version "
            f"that made it, or a newer one; to go back, run `{COMMAND} --to {HEAD}` of that first"
        )
    if revision not in ("base", "head", *known):
        revisions = ", ".join(reversed(known))
        raise SchemaMismatch(f"there is no revision {revision!r}: use {revisions}, head or base")
    if revision == "base" or (now is not None and revision != "head" and revision < now):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


@contextmanager
def _migration_lock(engine: Engine) -> Iterator[None]:
    """Hold the lock: a file beside an SQLite database, or PostgreSQL's advisory lock."""
    if engine.dialect.name == "sqlite":
        with Path(f"{engine.url.database}.migrate-lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        with engine.connect() as connection:
            # The lock belongs to the session; waiting for it must outlast a long migration.
            connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": _LOCK_NUMBER})
            connection.commit()
            try:
                yield
            finally:
                connection.invalidate()  # closes the session, and with it the lock

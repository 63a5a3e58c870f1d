"""Writes and reads a database as one file: a copy of SQLite, or the output of pg_dump."""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from distillery.store.blobs.disk import replace_durably, sync_file, translate_disk_errors
from distillery.store.config import postgres_environment
from distillery.store.db import schema
from distillery.store.db.database import Database
from distillery.store.db.engine import translate_errors
from distillery.store.errors import Conflict, StoreError


class DumpFailed(StoreError):
    """The database could not be dumped or loaded."""


def file_name(database: Database) -> str:
    """Return the name of the file within a backup."""
    return "database.sqlite" if database.engine.dialect.name == "sqlite" else "database.dump"


def dump(database: Database, target: Path) -> None:
    """Write a consistent snapshot of the database, durably; others may go on writing."""
    target.unlink(missing_ok=True)
    if database.engine.dialect.name == "sqlite":
        with translate_disk_errors(), closing(sqlite3.connect(_path(database))) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(target),))
            except sqlite3.Error as error:
                raise DumpFailed(f"the database could not be copied: {error}") from error
    else:
        _run(database, "pg_dump", "--format=custom", f"--file={target}")
    sync_file(target)


def require_empty(database: Database) -> None:
    """Raise Conflict if there is a database already."""
    if database.engine.dialect.name == "sqlite":
        if _path(database).exists():
            raise Conflict(f"{_path(database)} exists already: restore into a new KD_HOME")
        return
    with translate_errors(), database.engine.connect() as connection:
        if schema.current(connection) is not None:
            raise Conflict("the database has tables already: restore into an empty one")


def load(database: Database, source: Path) -> None:
    """Fill an empty database."""
    if database.engine.dialect.name == "sqlite":
        path = _path(database)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".restoring")
        with translate_disk_errors():
            shutil.copyfile(source, beside)
            sync_file(beside)
        replace_durably(beside, path)
        return
    _run(database, "pg_restore", "--no-owner", "--single-transaction", str(source))


def _path(database: Database) -> Path:
    assert database.engine.url.database is not None
    return Path(database.engine.url.database)


def _run(database: Database, program: str, *arguments: str) -> None:
    """Run a tool of PostgreSQL's. The password is passed by the environment, hidden from `ps`."""
    path = shutil.which(program)
    if path is None:
        raise DumpFailed(
            f"{program} is not installed here: run it elsewhere, and this with --blobs-only (see "
            "docs/operations.md)"
        )
    url = database.engine.url.set(drivername="postgresql")
    target = url.set(password=None).render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - a tool of PostgreSQL's, no shell
        [path, f"--dbname={target}", *arguments],
        env=postgres_environment(url.password),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DumpFailed(f"{program} failed: {done.stderr.strip()}")

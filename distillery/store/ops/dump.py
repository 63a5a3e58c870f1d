"""A database as one file: SQLite's own copy, or what pg_dump writes."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from distillery.store.blobs.disk import failing_disk, sync_folder
from distillery.store.config import postgres_environment
from distillery.store.db import schema
from distillery.store.db.database import Database
from distillery.store.db.engine import translated
from distillery.store.errors import Conflict, StoreError


class DumpFailed(StoreError):
    """The database could not be written out or read in."""


def file_name(database: Database) -> str:
    """What the file is called within a backup."""
    return "database.sqlite" if database.engine.dialect.name == "sqlite" else "database.dump"


def dump(database: Database, target: Path) -> None:
    """Write the database as it is at one moment, while others go on writing."""
    target.unlink(missing_ok=True)
    if database.engine.dialect.name == "sqlite":
        with failing_disk(), closing(sqlite3.connect(_path(database))) as connection:
            try:
                connection.execute("VACUUM INTO ?", (str(target),))
            except sqlite3.Error as error:
                raise DumpFailed(f"the database was not copied: {error}") from error
    else:
        _run(database, "pg_dump", "--format=custom", f"--file={target}")
    with target.open("rb") as file:
        os.fsync(file.fileno())


def require_none(database: Database) -> None:
    """Raises Conflict where there is a database already."""
    if database.engine.dialect.name == "sqlite":
        if _path(database).exists():
            raise Conflict(f"{_path(database)} is there already: restore into a new KD_HOME")
        return
    with translated(), database.engine.connect() as connection:
        if schema.current(connection) is not None:
            raise Conflict("the database has tables already: restore into an empty one")


def load(database: Database, source: Path) -> None:
    """Fill an empty database."""
    if database.engine.dialect.name == "sqlite":
        path = _path(database)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".restoring")
        with failing_disk():
            shutil.copyfile(source, beside)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        beside.rename(path)
        sync_folder(path.parent)
        return
    _run(database, "pg_restore", "--no-owner", "--single-transaction", str(source))


def _path(database: Database) -> Path:
    assert database.engine.url.database is not None
    return Path(database.engine.url.database)


def _run(database: Database, program: str, *arguments: str) -> None:
    """PostgreSQL's own tools; the password goes by the environment, where no `ps` shows it."""
    found = shutil.which(program)
    if found is None:
        raise DumpFailed(
            f"{program} is not installed here: run it where it is, and this with --blobs-only "
            "(docs/operations.md says how)"
        )
    url = database.engine.url.set(drivername="postgresql")
    target = url.set(password=None).render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - a tool of PostgreSQL's, no shell
        [found, f"--dbname={target}", *arguments],
        env=postgres_environment(url.password),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DumpFailed(f"{program} failed: {done.stderr.strip()}")

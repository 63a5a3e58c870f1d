"""`python -m distillery.store`: migrate, make keys, back up, restore and check."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from kdcore.spec import distribution

if __name__ == "__main__":  # before the imports that would fail
    distribution.require("python -m distillery.store", "server")

from distillery.store import keys
from distillery.store.blobs.blobs import HashMismatch, make_blobs
from distillery.store.config import StoreSettings
from distillery.store.db import schema
from distillery.store.db.database import Database
from distillery.store.errors import StoreError
from distillery.store.ops.backup import Manifest, back_up, restore
from distillery.store.ops.check import check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    settings = StoreSettings()
    database = Database(settings.database, timeout_s=None)  # a migration takes its time
    try:
        return _run(options, settings, database)
    except (StoreError, schema.SchemaMismatch, HashMismatch) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        database.dispose()


def _run(options: argparse.Namespace, settings: StoreSettings, database: Database) -> int:
    match options.command:
        case "migrate":
            schema.migrate(database.engine, options.to)
            with database.engine.connect() as connection:
                sys.stdout.write(f"schema {schema.current(connection) or 'removed'}\n")
        case "keys":
            database.check_schema()
            sys.stdout.write(_create_key(database, options) + "\n")
        case "backup":
            blobs = make_blobs(settings.blobs)
            manifest = back_up(database, blobs, options.folder, blobs_only=options.blobs_only)
            sys.stdout.write(f"backed up: {_described(manifest)}\n")
            for sha256 in manifest.missing:
                sys.stderr.write(f"blob {sha256} is missing in storage\n")
        case "restore":
            blobs = make_blobs(settings.blobs)
            manifest = restore(database, blobs, options.folder, blobs_only=options.blobs_only)
            sys.stdout.write(f"restored: {_described(manifest)}\n")
            return _check(database, settings, hashes=False)
        case "check":
            database.check_schema()
            return _check(database, settings, hashes=options.hashes)
    return 0


def _check(database: Database, settings: StoreSettings, *, hashes: bool) -> int:
    faults = 0
    for fault in check(database, make_blobs(settings.blobs), hashes=hashes):
        faults += 1
        sys.stderr.write(f"{fault}\n")
    if not faults:
        sys.stdout.write("every blob is in storage\n")
    return 1 if faults else 0


def _described(manifest: Manifest) -> str:
    size = f"{manifest.blobs} blobs, {manifest.bytes} bytes"
    return f"the database at schema {manifest.schema_revision}, {size}"


def _create_key(database: Database, options: argparse.Namespace) -> str:
    with database.write() as s:
        _, token = keys.create(
            s, options.tenant, options.name, options.scopes, options.expires_in_s
        )
    return token


def _scopes(text: str) -> list[keys.Scope]:
    scopes = [scope.strip() for scope in text.split(",")]
    unknown = sorted(set(scopes) - set(keys.SCOPES))
    if unknown:
        known = ", ".join(keys.SCOPES)
        raise argparse.ArgumentTypeError(f"unknown scope {unknown[0]!r}: choose from {known}")
    return [cast(keys.Scope, scope) for scope in scopes]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distillery.store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    migrate = commands.add_parser("migrate", help="migrate the database to this program's schema")
    migrate.add_argument("--to", default="head", help="a revision, or `base` to remove every table")
    key = commands.add_parser("keys", help="manage API keys").add_subparsers(
        dest="action", required=True
    )
    create = key.add_parser("create", help="create a key and print it; it is not shown again")
    create.add_argument("--name", required=True)
    create.add_argument("--scopes", type=_scopes, default=["read", "write"])
    create.add_argument("--tenant", default=keys.DEFAULT_TENANT)
    create.add_argument("--expires-in-s", type=int, default=None)
    for name, words in (
        ("backup", "write the database and blobs into a folder, or update a backup there"),
        ("restore", "fill an empty database and storage from a backup"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("folder", type=Path)
        command.add_argument(
            "--blobs-only",
            action="store_true",
            help="leave out the database, which is dumped by other means",
        )
    checking = commands.add_parser("check", help="list every blob that is missing in storage")
    checking.add_argument(
        "--hashes", action="store_true", help="also read every blob and verify its hash"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

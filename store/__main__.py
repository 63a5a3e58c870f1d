"""`python -m store migrate | keys create`: what an operator does before the service runs."""

import argparse
import sys
from collections.abc import Sequence
from typing import cast

from store import keys, schema
from store.config import StoreSettings
from store.db import Database
from store.errors import StoreError

DEFAULT_TENANT = "default"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    database = Database(StoreSettings().database, answer_s=None)  # a migration takes its time
    try:
        if options.command == "migrate":
            schema.migrate(database.engine, options.to)
            with database.engine.connect() as connection:
                sys.stdout.write(f"schema {schema.current(connection) or 'removed'}\n")
        else:
            database.check_schema()
            sys.stdout.write(_create_key(database, options) + "\n")
    except (StoreError, schema.SchemaMismatch) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        database.dispose()
    return 0


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
        raise argparse.ArgumentTypeError(f"no scope {unknown[0]!r}: {', '.join(keys.SCOPES)}")
    return [cast(keys.Scope, scope) for scope in scopes]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m store", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    migrate.add_argument("--to", default="head", help="a revision, or `base` to remove it all")
    key = commands.add_parser("keys", help="API keys").add_subparsers(dest="action", required=True)
    create = key.add_parser("create", help="make a key and print it, once")
    create.add_argument("--name", required=True)
    create.add_argument("--scopes", type=_scopes, default=["read", "write"])
    create.add_argument("--tenant", default=DEFAULT_TENANT)
    create.add_argument("--expires-in-s", type=int, default=None)
    return parser


if __name__ == "__main__":
    sys.exit(main())

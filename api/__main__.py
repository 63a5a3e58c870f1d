"""`python -m distillery.api` serves; `python -m distillery.api openapi` prints the document."""

import argparse
import json
import sys
from typing import Any

from distillery.api.config import ApiSettings
from distillery.store.config import StoreSettings
from kdcore.spec import distribution, failpoints


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m distillery.api", description="Distillery's API."
    )
    parser.add_argument("command", nargs="?", choices=("serve", "openapi"), default="serve")
    parser.add_argument("--host", help="address to listen on (KD_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on; 0: any free one (KD_PORT)")
    given = parser.parse_args(arguments)
    distribution.require("python -m distillery.api", "server")
    if given.command == "openapi":
        from distillery.api.main import create_app

        sys.stdout.write(json.dumps(create_app().openapi(), indent=2) + "\n")
        return 0
    from distillery.api.server import serve

    changes: dict[str, Any] = {
        name: value for name in ("host", "port") if (value := getattr(given, name)) is not None
    }
    stored = StoreSettings()
    failpoints.arm(stored.failpoint)
    return serve(ApiSettings(**changes), stored)


if __name__ == "__main__":
    sys.exit(main())

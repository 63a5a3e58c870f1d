"""`kd gc`: let go of what was kept long enough, or say what that would be."""

from typing import Annotated

import typer

from distillery.cli.commands.common import terminal
from distillery.cli.render import size


def gc(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Let go of what the service's settings say was kept long enough (needs the scope `admin`).

    The service does so by itself every minute; see docs/operations.md.
    """
    term = terminal(context)
    with term.client() as service:
        collection = service.collect_garbage(dry_run=dry_run)
    if term.answered(collection):
        return
    kinds = [kind for kind in collection.kinds if kind.count]
    term.table(
        ("what", "count", "bytes"),
        ((kind.kind.replace("_", " "), str(kind.count), size(kind.size_bytes)) for kind in kinds),
        "Nothing would go." if dry_run else "Nothing had to go.",
    )
    if kinds:
        term.say("Nothing was touched: that would go." if dry_run else "That is gone.")

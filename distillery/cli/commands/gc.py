"""`kd gc`: delete data whose retention period has expired."""

from typing import Annotated

import typer

from distillery.cli.commands.common import terminal
from distillery.sdk.format import size


def gc(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be deleted.")
    ] = False,
) -> None:
    """Delete data whose retention period has expired (scope `admin`).

    The service does so by itself every minute; its settings define the periods.
    """
    term = terminal(context)
    with term.client() as client:
        report = client.collect_garbage(dry_run=dry_run)
    if term.print_json(report):
        return
    kinds = [kind for kind in report.kinds if kind.count]
    term.print_table(
        ("data", "count", "size"),
        ((kind.kind.replace("_", " "), str(kind.count), size(kind.size_bytes)) for kind in kinds),
        empty="Nothing to delete.",
    )
    if kinds:
        term.print("Nothing was deleted: this was a dry run." if dry_run else "Deleted.")

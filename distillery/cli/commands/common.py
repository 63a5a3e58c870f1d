"""What several commands share: the Terminal of a context, and option types."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.terminal import Terminal
from distillery.sdk.errors import UsageMistake
from kdcore.spec import distribution

FileArgument = Annotated[
    Path,
    typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, show_default=False),
]
NameOption = Annotated[str | None, typer.Option(help="Name to list it by. Default: the file's.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is inspected and ready.")
]


def terminal(context: typer.Context) -> Terminal:
    """Return the Terminal that the global options made."""
    assert isinstance(context.obj, Terminal)
    return context.obj


def require_extras(command: str, *extras: str) -> None:
    """Raise UsageMistake that says what to install where packages of the extras are missing."""
    if complaint := distribution.complaint(command, *extras):
        message, hint = complaint
        raise UsageMistake(message, hint=hint)

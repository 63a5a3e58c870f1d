"""What several commands share: how a Terminal is found, transfers with a bar, option values."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.terminal import Terminal
from distillery.sdk.errors import UsageMistake
from kdcore.spec import distribution

FileArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, readable=True, show_default=False)
]
NameOption = Annotated[str | None, typer.Option(help="A name for people; the file's, if none.")]
WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until it is inspected and ready.")
]


def terminal(context: typer.Context) -> Terminal:
    """The Terminal that the global options made."""
    assert isinstance(context.obj, Terminal)
    return context.obj


def require_extras(command: str, *extras: str) -> None:
    """Raises UsageMistake, saying what to install, where packages of the extras are missing."""
    if complaint := distribution.complaint(command, *extras):
        message, hint = complaint
        raise UsageMistake(message, hint=hint)


@contextmanager
def upload_bar(term: Terminal, path: Path) -> Iterator[Callable[[int, int], None]]:
    """A bar for an upload: yields its progress callback."""
    with term.transfer() as bars:
        task = bars.add_task(f"Sending {path.name}", total=path.stat().st_size)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def download_bar(term: Terminal, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar for a download: yields its progress callback."""
    with term.transfer() as bars:
        task = bars.add_task(f"Fetching {name}", total=total)
        yield lambda done: bars.update(task, completed=done)

"""What `kd` writes: tables and sentences for people, or JSON; errors go to stderr."""

import json
from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from distillery.local.home_lock import running_url
from distillery.sdk.client import Client
from distillery.sdk.config import DEFAULT_PORT, ClientSettings
from distillery.sdk.errors import ApiError, ClientError


class Terminal:
    """Where a command writes, and the service it speaks to."""

    def __init__(self, settings: ClientSettings, *, as_json: bool = False):
        self.settings = settings
        self.as_json = as_json
        self.out = Console(soft_wrap=False)
        self.err = Console(stderr=True)

    def client(self) -> Client:
        """A client of the service that --url and --key name, or of the `kd up` of this home."""
        here = f"http://127.0.0.1:{DEFAULT_PORT}"
        url = self.settings.url or running_url(self.settings.home) or here
        return Client(url, self.settings.key)

    def say(self, sentence: str) -> None:
        """A sentence for people; nothing in JSON mode. Rich markup is on."""
        if not self.as_json:
            self.out.print(sentence, highlight=False, soft_wrap=True)

    def answered(self, value: object) -> bool:
        """In JSON mode, print `value` as the command's answer; whether that was so."""
        if self.as_json:
            self.out.print_json(json.dumps(_plain(value)))
        return self.as_json

    def answered_line(self, value: object) -> bool:
        """As `answered`, on one line: for commands that print several documents."""
        if self.as_json:
            self.out.out(json.dumps(_plain(value)), highlight=False)
        return self.as_json

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str) -> None:
        """A table of plain text; `empty` is said when there are no rows."""
        cells = [tuple(escape(cell) for cell in row) for row in rows]
        table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(columns))
        # The first column is what people copy: it is never cut, however narrow the terminal.
        whole = max((len(row[0]) for row in cells), default=0)
        for number, column in enumerate(columns):
            table.add_column(column, no_wrap=not number, min_width=None if number else whole)
        for row in cells:
            table.add_row(*row)
        if table.row_count:
            self.out.print(table, highlight=False)
        else:
            self.say(empty)

    def complain(self, error: ClientError) -> None:
        """Tell of an error, and what to do about it."""
        if self.as_json:
            body: dict[str, object] = {"message": error.message, "hint": error.hint}
            if isinstance(error, ApiError):
                body["problem"] = error.problem.model_dump(mode="json")
            self.err.out(json.dumps({"error": body}), highlight=False)
            return
        self.err.print(f"[red]Error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            self.err.print(f"[dim]{escape(error.hint)}[/]", highlight=False, soft_wrap=True)

    def transfer(self) -> Progress:
        """A bar in bytes, on a terminal only; gone when it is done."""
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(36),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.err,
            transient=True,
            disable=self.as_json or not self.err.is_terminal,
        )


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

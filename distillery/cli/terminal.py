"""What `kd` writes: tables and sentences for people, or JSON; errors go to stderr."""

import json
from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from distillery.sdk.client import Client
from distillery.sdk.config import ClientSettings
from distillery.sdk.errors import ApiError, ClientError

SHORT_COLUMN = 12


class Terminal:
    """Where a command writes, and the service that it talks to."""

    def __init__(self, settings: ClientSettings, *, as_json: bool = False):
        self.settings = settings
        self.as_json = as_json
        self.out = Console()
        self.err = Console(stderr=True)

    def client(self) -> Client:
        """Connect to the service that --url and --key name, or to the `kd up` of this folder."""
        progress = self.err.is_terminal and not self.as_json
        return Client(self.settings.url, self.settings.key, progress=progress)

    def print(self, text: str) -> None:
        """Print text for people, with Rich markup; nothing in JSON mode."""
        if not self.as_json:
            self.out.print(text, highlight=False, soft_wrap=True)

    def print_json(self, value: object) -> bool:
        """In JSON mode, print `value` as the command's answer. Returns whether it did."""
        if self.as_json:
            self.out.print_json(json.dumps(_plain(value)))
        return self.as_json

    def print_json_line(self, value: object) -> bool:
        """As `print_json`, on one line: for commands that print several documents."""
        if self.as_json:
            self.out.out(json.dumps(_plain(value)), highlight=False)
        return self.as_json

    def print_table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str = ""
    ) -> None:
        """Print a table of plain text, without a header if all `columns` are empty; the sentence
        `empty` if there are no rows."""
        cells = [tuple(row) for row in rows]
        if not cells:
            if empty:
                self.print(empty)
            return
        lines = [tuple(columns), *cells] if any(columns) else cells
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        if not self.out.is_terminal:  # a file or a pipe: a line per row, however long
            for line in lines:
                padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                self.out.out("  ".join(padded).rstrip(), highlight=False)
            return
        table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(columns))
        # However narrow the terminal, the first column is never cut, for people copy it, nor are
        # short ones; the others wrap.
        for number, (column, width) in enumerate(zip(columns, widths, strict=True)):
            whole = number == 0 or width <= SHORT_COLUMN
            least = width if whole else SHORT_COLUMN
            table.add_column(column, no_wrap=whole, min_width=least, overflow="fold")
        for row in cells:
            table.add_row(*map(escape, row))
        self.out.print(table, highlight=False)

    def print_error(self, error: ClientError) -> None:
        """Print an error and its hint to stderr."""
        if self.as_json:
            body: dict[str, object] = {"message": error.message, "hint": error.hint}
            if isinstance(error, ApiError):
                body["problem"] = error.problem.model_dump(mode="json")
            self.err.out(json.dumps({"error": body}), highlight=False)
            return
        self.err.print(f"[red]Error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            self.err.print(f"[dim]{escape(error.hint)}[/]", highlight=False, soft_wrap=True)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

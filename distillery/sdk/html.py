"""Small HTML tables for notebooks; every text is escaped, for names and messages are others'."""

from collections.abc import Iterable, Sequence
from html import escape


def table(rows: Iterable[Sequence[str]], columns: Sequence[str] = ()) -> str:
    """Render rows of plain text, under a header unless `columns` is empty."""
    head = f"<thead>{_row(columns, 'th')}</thead>" if columns else ""
    return f"<table>{head}<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody></table>"


def titled(title: str, *parts: str) -> str:
    """Put a plain-text title over parts that are HTML already; empty parts are left out."""
    return "".join([f"<div><b>{escape(title)}</b></div>", *filter(None, parts)])


def _row(cells: Iterable[str], tag: str) -> str:
    style = ' style="text-align:left"'
    return "<tr>" + "".join(f"<{tag}{style}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

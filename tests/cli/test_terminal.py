"""Tables keep what people copy whole on a narrow terminal, and are plain lines in a pipe."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from distillery.cli.terminal import Terminal
from distillery.sdk.config import ClientSettings

JOB_ID = "job_01m8fb6205yzabwz1b7gwyjc6n"
COLUMNS = ("id", "name", "state")
ROWS = [(JOB_ID, "a name [bold]of[/] many words " * 3, "succeeded"), (JOB_ID, "x", "failed")]


def _table(rows: Sequence[tuple[str, ...]] = ROWS, **console: Any) -> list[str]:
    term = Terminal(ClientSettings())
    out = io.StringIO()
    term.out = Console(file=out, color_system=None, **console)
    term.print_table(COLUMNS, rows, empty="No jobs yet.")
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_ids_and_states_are_never_cut(width: int) -> None:
    lines = _table(force_terminal=True, width=width)
    assert lines[0].split() == ["id", "name", "state"]
    assert sum(line.startswith(f"{JOB_ID}  ") for line in lines) == 2
    assert any(line.rstrip().endswith("succeeded") for line in lines)
    assert all(len(line) <= width for line in lines)
    assert "[bold]of[/]" in "".join(lines)


def test_a_pipe_gets_a_line_per_row() -> None:
    header, first, second = _table(width=40)
    assert header.split() == ["id", "name", "state"]
    assert first == f"{JOB_ID}  {ROWS[0][1]}  succeeded"
    assert second.startswith(f"{JOB_ID}  x ") and second.endswith("  failed")


def test_no_rows_are_a_sentence() -> None:
    assert _table([]) == ["No jobs yet."]

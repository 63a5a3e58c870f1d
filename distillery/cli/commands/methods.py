"""`kd methods`: the methods that a job's objectives may name, with their knobs."""

from typing import Any

import typer
from rich.markup import escape

from distillery.cli.commands.common import terminal


def methods(context: typer.Context) -> None:
    """List the distillation methods, what they need, and their knobs."""
    term = terminal(context)
    with term.client() as client:
        found = list(client.methods.list())
    if term.print_json(found):
        return
    for method in found:
        term.print(f"[bold]{method.name}[/]  {escape(method.summary)}")
        term.print(f"  [dim]needs: {', '.join(method.needs)}[/]")
        rows = [
            (f"  {name}", _default(knob), str(knob.get("description", "")))
            for name, knob in method.knobs.get("properties", {}).items()
            if name != "method"
        ]
        term.print_table(("  knob", "default", "meaning"), rows)
        term.print("")


def _default(knob: dict[str, Any]) -> str:
    value = knob.get("default")
    return "none" if value is None else str(value)

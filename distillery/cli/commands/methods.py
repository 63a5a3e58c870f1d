"""`kd methods`: what a job's objectives can be, with their knobs."""

from typing import Any

import typer

from distillery.cli.commands.common import terminal


def methods(context: typer.Context) -> None:
    """The distillation methods and their knobs."""
    term = terminal(context)
    with term.client() as service:
        found = list(service.methods.list())
    if term.answered(found):
        return
    for method in found:
        term.say(f"[bold]{method.name}[/]  {method.summary}")
        term.say(f"  [dim]needs: {', '.join(method.needs)}[/]")
        rows = [
            (f"  {name}", _default(knob), str(knob.get("description", "")))
            for name, knob in method.knobs.get("properties", {}).items()
            if name != "method"
        ]
        term.table(("  knob", "default", ""), rows, "")
        term.say("")


def _default(knob: dict[str, Any]) -> str:
    value = knob.get("default")
    return "none" if value is None else str(value)

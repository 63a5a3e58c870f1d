"""`kd status`: what the service says of itself, and why jobs wait."""

import typer
from rich.markup import escape

from distillery.cli.commands.common import terminal
from distillery.cli.run_status import waits
from distillery.cli.terminal import Terminal
from distillery.sdk.errors import ClientError
from distillery.wire.keys import Health, Status

MARKS = {"ok": "[green]ok[/]", "degraded": "[yellow]degraded[/]", "down": "[red]down[/]"}


class ServiceDown(ClientError):
    """The service answers, but cannot serve."""


def status(context: typer.Context) -> None:
    """Show components, workers, slots, the queue, and why your oldest job waits."""
    term = terminal(context)
    with term.client() as service:
        health = service.health()
        full = service.status() if health.ok else None
    if not term.answered(full or health):
        _show_parts(term, health)
        if full is not None:
            _show_work(term, full)
    if not health.ok:
        raise ServiceDown("The service cannot serve: see the components above.")


def _show_parts(term: Terminal, health: Health) -> None:
    term.say(f"[bold]Distillery {escape(health.version)}[/] is {MARKS[health.status]}")
    for component, said in health.components.items():
        term.say(
            f"  {component:9} {'[green]ok[/]' if said == 'ok' else f'[yellow]{escape(said)}[/]'}"
        )


def _show_work(term: Terminal, status: Status) -> None:
    count = len(status.workers)
    noun = "worker" if count == 1 else "workers"
    term.say(f"\nSlots: {status.busy} of {status.slots} in use, {count} {noun}")
    for worker in status.workers:
        since = f"{worker.started_at.astimezone():%Y-%m-%d %H:%M}"
        term.say(f"  {escape(worker.name)}  slots {worker.slots}  [dim]since {since}[/]")
        if worker.trouble:
            term.say(f"    [yellow]takes no job: {escape(worker.trouble)}[/]")
    counts = ", ".join(f"{count} {state}" for state, count in status.jobs.items())
    term.say(f"Jobs: {counts}")
    if status.oldest is not None:
        oldest = status.oldest
        why = waits(oldest.waiting) if oldest.waiting else "should start any moment"
        term.say(f"Oldest: {oldest.id} {escape(oldest.name)}\n  {escape(why)}")

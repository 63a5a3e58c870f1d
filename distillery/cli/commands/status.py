"""`kd status`: the state of the service, and why jobs wait."""

import typer
from rich.markup import escape

from distillery.cli.commands.common import terminal
from distillery.cli.run_status import waiting_text
from distillery.cli.terminal import Terminal
from distillery.sdk.errors import ClientError
from distillery.wire.keys import Health, Status

MARKS = {"ok": "[green]ok[/]", "degraded": "[yellow]degraded[/]", "down": "[red]down[/]"}


class ServiceDown(ClientError):
    """The service answers, but cannot do its work."""


def status(context: typer.Context) -> None:
    """Show components, workers, the queue, and why your oldest job waits."""
    term = terminal(context)
    with term.client() as client:
        health = client.health()
        full = client.status() if health.ok else None
    if not term.print_json(full or health):
        _print_components(term, health)
        if full is not None:
            _print_work(term, full)
    if not health.ok:
        raise ServiceDown("The service cannot do its work: see the components above.")


def _print_components(term: Terminal, health: Health) -> None:
    term.print(f"[bold]Distillery {escape(health.version)}[/] is {MARKS[health.status]}")
    for component, state in health.components.items():
        term.print(
            f"  {component:9} {'[green]ok[/]' if state == 'ok' else f'[yellow]{escape(state)}[/]'}"
        )


def _print_work(term: Terminal, status: Status) -> None:
    count = len(status.workers)
    noun = "worker" if count == 1 else "workers"
    term.print(f"\nSlots: {status.busy} of {status.slots} in use, {count} {noun}")
    for worker in status.workers:
        since = f"{worker.started_at.astimezone():%Y-%m-%d %H:%M}"
        term.print(f"  {escape(worker.name)}  slots {worker.slots}  [dim]since {since}[/]")
        if worker.trouble:
            term.print(f"    [yellow]takes no jobs: {escape(worker.trouble)}[/]")
    counts = ", ".join(f"{count} {state}" for state, count in status.jobs.items())
    term.print(f"Jobs: {counts}")
    if status.oldest is not None:
        oldest = status.oldest
        why = waiting_text(oldest.waiting) if oldest.waiting else "starts any moment now"
        term.print(f"Oldest queued job: {oldest.id}  {escape(oldest.name)}\n  {escape(why)}")

"""`kd jobs`: list, show, watch, control, and download the artifacts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from distillery.cli.commands.common import terminal
from distillery.cli.commands.submit import EXAMPLES, submit
from distillery.cli.commands.watching import print_result, watch_to_end
from distillery.cli.run_status import waiting_text
from distillery.cli.terminal import Terminal
from distillery.sdk.client import Client
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.sdk.format import percent, size
from distillery.sdk.job import Job
from distillery.wire.jobs import JobSummary, Transition

app = typer.Typer(help="Submit and manage jobs.", no_args_is_help=True)
app.command(epilog=EXAMPLES)(submit)
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Id, or `last` for the newest.", show_default=False)
]


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(help="Only queued, running, paused, succeeded, failed or cancelled jobs."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(help="Highest student_accuracy, gain, ... first. Default: newest first."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most jobs to list.")] = 50,
) -> None:
    """List jobs, newest or best first."""
    term = terminal(context)
    with term.client() as client:
        listed = client.jobs.list(state=state, order=order)
        jobs = [job for job, _ in zip(listed, range(limit), strict=False)]
    if term.print_json(jobs):
        return
    term.print_table(
        ("id", "name", "state", "age", "student", "gain"),
        (
            (
                job.id,
                job.name,
                _state(job),
                _age(job.created_at),
                percent(job.student_accuracy),
                "-" if job.gain is None else f"{job.gain * 100:+.1f}",
            )
            for job in jobs
        ),
        empty="No jobs yet. Submit one: kd jobs submit" if state is None else f"No {state} jobs.",
    )


@app.command()
def show(context: typer.Context, job: JobArgument) -> None:
    """Show one job: its spec, history, result and artifacts."""
    term = terminal(context)
    with term.client() as client:
        found = _job(client, job)
        if term.print_json(found):
            return
        history = found.transitions()
        artifacts = found.artifacts()
    term.print(f"[bold]{found.id}[/]")
    term.print_table(("", ""), _facts(found))
    _print_history(term, history)
    if found.waiting:
        term.print(f"[yellow]{escape(waiting_text(found.waiting))}[/]")
    if found.error:
        where = f" at {found.error.pointer}" if found.error.pointer else ""
        term.print(f"[red]{found.error.code}[/]{where}: {escape(found.error.message)}")
    if found.result:
        term.print("")
        print_result(term, found.result)
    if artifacts:
        term.print("")
    term.print_table(
        ("artifact", "kind", "size", "sha256"),
        ((a.name, a.kind, size(a.size_bytes), a.sha256[:16]) for a in artifacts),
    )


@app.command()
def watch(context: typer.Context, job: JobArgument) -> None:
    """Follow a job to its end. Ctrl-C detaches; the job goes on."""
    term = terminal(context)
    with term.client() as client:
        watch_to_end(term, client, _job(client, job))


@app.command()
def cancel(context: typer.Context, job: JobArgument) -> None:
    """Stop a job for good."""
    term = terminal(context)
    with term.client() as client:
        _print_state(term, _job(client, job).cancel())


@app.command()
def pause(context: typer.Context, job: JobArgument) -> None:
    """Write a checkpoint and free the job's slot until `kd jobs resume`."""
    term = terminal(context)
    with term.client() as client:
        _print_state(term, _job(client, job).pause())


@app.command()
def resume(context: typer.Context, job: JobArgument) -> None:
    """Queue a paused job again; it goes on from its checkpoint."""
    term = terminal(context)
    with term.client() as client:
        _print_state(term, _job(client, job).resume())


@app.command()
def retry(context: typer.Context, job: JobArgument) -> None:
    """Queue a failed job again; it goes on from its last checkpoint."""
    term = terminal(context)
    with term.client() as client:
        _print_state(term, _job(client, job).retry())


@app.command()
def pull(
    context: typer.Context,
    job: JobArgument,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder to write to. Default: the job's id."),
    ] = None,
) -> None:
    """Download all artifacts of a job and check their sha256; files that are there already stay."""
    term = terminal(context)
    with term.client() as client:
        found = _job(client, job)
        folder = out or Path(found.id)
        names = [artifact.name for artifact in found.artifacts()]
        if not names:
            raise ClientError(
                f"{found.id} has no artifacts: it is {found.state}.",
                hint="A job has them once it has succeeded.",
            )
        found.download(folder)
    if not term.print_json([str(folder / name) for name in names]):
        term.print("\n".join(escape(str(folder / name)) for name in names))


def _job(client: Client, reference: str) -> Job:
    if reference != "last":
        return client.jobs.get(reference)
    for summary in client.jobs.list():
        return client.jobs.get(summary.id)
    raise UsageMistake("There are no jobs yet.")


def _print_state(term: Terminal, job: Job) -> None:
    if not term.print_json(job):
        requested = f", {job.request} requested" if job.request else ""
        term.print(f"{job.id}  {job.state}{requested}")


def _state(job: JobSummary) -> str:
    if job.error is not None:
        return f"{job.state} ({job.error.code})"
    if job.state == "running" and job.progress:
        return f"{job.state} {job.progress.fraction:.0%}"
    return str(job.state)


def _age(since: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = (datetime.now(UTC) - since).total_seconds()
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{int(seconds // length_s)} {unit}"
    return f"{max(0, int(seconds))} s"


def _facts(job: Job) -> list[tuple[str, str]]:
    rows = [("name", job.name), ("state", _state(job))]
    if job.subject:
        rows.append(("inspects", job.subject))
    if job.spec is None:
        return rows
    student = job.spec.student
    options = ", ".join(f"{name}={value}" for name, value in student.options.items())
    rows.append(("student", student.architecture + (f" ({options})" if options else "")))
    if job.spec.teachers:
        rows.append(("teachers", ", ".join(teacher.model for teacher in job.spec.teachers)))
    rows.append(("dataset", job.spec.dataset))
    for stage in job.spec.stages:
        methods = ", ".join(objective.method for objective in stage.objectives)
        epochs = "1 epoch" if stage.epochs == 1 else f"{stage.epochs} epochs"
        rows.append(("stage", f"{epochs} of {methods}"))
    return rows


def _print_history(term: Terminal, history: tuple[Transition, ...]) -> None:
    for move in history:
        message = escape(move.message.partition("\n")[0])  # the log's end follows once, below
        when = f"{move.at.astimezone():%Y-%m-%d %H:%M:%S}"
        term.print(f"  [dim]{when}[/]  {move.target:9}  [dim]{message}[/]")

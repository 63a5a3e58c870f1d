"""`kd jobs`: list, show, watch, steer, and take the artifacts home."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from distillery.cli.commands.common import download_bar, terminal
from distillery.cli.commands.submit import submit
from distillery.cli.commands.watching import show_result, watch_to_end
from distillery.cli.render import percent, size
from distillery.cli.run_status import waits
from distillery.sdk.client import Client
from distillery.sdk.errors import ClientError, UsageMistake
from distillery.wire.jobs import Job

app = typer.Typer(help="Distillation jobs, and plain training.")
app.command()(submit)
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="Id, or `last` for the newest.", show_default=False)
]


@app.command("list")
def list_(
    context: typer.Context,
    state: Annotated[
        str | None, typer.Option(help="Only queued, running, paused, succeeded, failed, ...")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(help="Best first: by student_accuracy, gain, ...; newest first if none."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
) -> None:
    """Jobs, newest or best first."""
    term = terminal(context)
    with term.client() as service:
        listed = service.jobs.list(state=state, order=order)
        jobs = [job for job, _ in zip(listed, range(limit), strict=False)]
    if term.answered(jobs):
        return
    term.table(
        ("id", "name", "state", "done", "methods", "teacher", "student", "scratch"),
        (
            (
                job.id,
                job.name,
                job.state if job.error is None else f"{job.state} ({job.error.code})",
                percent(job.progress.fraction if job.progress else None),
                " ".join(dict.fromkeys(job.methods)),
                percent(job.teacher_accuracy),
                percent(job.student_accuracy),
                percent(job.baseline_accuracy),
            )
            for job in jobs
        ),
        "No jobs yet: `kd jobs submit`.",
    )


@app.command()
def show(context: typer.Context, job: JobArgument) -> None:
    """One job: its state, its history, its result and its artifacts."""
    term = terminal(context)
    with term.client() as service:
        found = service.jobs.get(_id_of(service, job))
        if term.answered(found):
            return
        history = service.jobs.transitions(found.id)
        artifacts = service.jobs.artifacts(found.id)
    term.say(f"[bold]{found.id}[/]  {escape(found.name)}")
    for move in history:
        said = escape(move.message.partition("\n")[0])  # the log's end is shown once, below
        term.say(f"  [dim]{move.at:%H:%M:%S}[/] {move.target}  [dim]{said}[/]")
    if found.waiting:
        term.say(f"[yellow]{escape(waits(found.waiting))}[/]")
    if found.error:
        where = f" at {found.error.pointer}" if found.error.pointer else ""
        term.say(f"[red]{found.error.code}[/]{where}: {escape(found.error.message)}")
    show_result(term, found)
    term.table(
        ("artifact", "kind", "size", "sha256"),
        ((a.name, a.kind, size(a.size_bytes), a.sha256[:16]) for a in artifacts),
        "",
    )


@app.command()
def watch(context: typer.Context, job: JobArgument) -> None:
    """Follow a job to its end. Ctrl-C detaches; the job goes on."""
    term = terminal(context)
    with term.client() as service:
        watch_to_end(term, service, service.jobs.get(_id_of(service, job)))


@app.command()
def cancel(context: typer.Context, job: JobArgument) -> None:
    """Stop a job for good."""
    _steer(context, job, "cancel")


@app.command()
def pause(context: typer.Context, job: JobArgument) -> None:
    """Checkpoint a job and free its slot until `resume`."""
    _steer(context, job, "pause")


@app.command()
def resume(context: typer.Context, job: JobArgument) -> None:
    """Take a paused job up again."""
    _steer(context, job, "resume")


@app.command()
def retry(context: typer.Context, job: JobArgument) -> None:
    """Queue a failed job again."""
    _steer(context, job, "retry")


@app.command()
def pull(
    context: typer.Context,
    job: JobArgument,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder to write to; the job's id, if none."),
    ] = None,
) -> None:
    """Fetch all artifacts of a job; their sha256 is checked, what is there already stays."""
    term = terminal(context)
    with term.client() as service:
        job_id = _id_of(service, job)
        artifacts = service.jobs.artifacts(job_id)
        if not artifacts:
            raise ClientError(
                f"{job_id} has made no artifacts.", hint="A job has them once it has succeeded."
            )
        paths = []
        for artifact in artifacts:
            with download_bar(term, artifact.name, artifact.size_bytes) as report:
                paths.append(service.jobs.pull(artifact, out or Path(job_id), report))
    if term.answered([str(path) for path in paths]):
        return
    for path in paths:
        term.say(str(path))


def _steer(context: typer.Context, reference: str, verb: str) -> None:
    term = terminal(context)
    with term.client() as service:
        steer = getattr(service.jobs, verb)
        job: Job = steer(_id_of(service, reference))
    if term.answered(job):
        return
    asked = f", {job.request} is asked for" if job.request else ""
    term.say(f"{job.id}  {job.state}{asked}")


def _id_of(service: Client, reference: str) -> str:
    if reference != "last":
        return reference
    for job in service.jobs.list():
        return job.id
    raise UsageMistake("There are no jobs yet.")

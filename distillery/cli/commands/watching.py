"""Following a job from the command line, and showing what it came to."""

import typer

from distillery.cli.display import Display
from distillery.cli.follow import follow
from distillery.cli.render import onnx_check, provenance, result_table, verdict
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.sdk.client import Client
from distillery.sdk.errors import ClientError, ExitCode
from distillery.wire.jobs import Job


class JobEnded(ClientError):
    """The job that was waited for did not succeed."""


def watch_to_end(term: Terminal, service: Client, job: Job) -> None:
    """Follow a job to its end and show its result; JobEnded unless it succeeded."""
    run_status = RunStatus(f"{job.name}  {job.id}", job.state)
    try:
        with Display(term.out, run_status, as_json=term.as_json) as display:
            job = follow(service.jobs, job.id, display)
    except KeyboardInterrupt:
        term.err.print(
            f"Detached; the job goes on. Watch it again: kd jobs watch {job.id}\n"
            f"Stop it: kd jobs cancel {job.id}",
            highlight=False,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    term.answered_line({"job": job.model_dump(mode="json")})
    show_result(term, job)
    if job.state != "succeeded":
        raise _ended(job)
    term.say(f"Its files: kd jobs pull {job.id}")


def _ended(job: Job) -> JobEnded:
    if job.error is None:
        return JobEnded(f"{job.id} is {job.state}.")
    where = f" at {job.error.pointer}" if job.error.pointer else ""
    message = f"{job.id} failed ({job.error.code}{where}): {job.error.message}"
    return JobEnded(message, hint=job.error.next_step)


def show_result(term: Terminal, job: Job) -> None:
    """The table of a finished job, if it has a result."""
    if job.result is None or term.as_json:
        return
    term.out.print(result_table(job.result), highlight=False)
    for line in (verdict(job.result), provenance(job.result), onnx_check(job.result.artifacts)):
        if line:
            term.say(line)

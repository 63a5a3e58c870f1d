"""Follows a job from the command line, and prints its result."""

import typer

from distillery.cli.display import StatusDisplay
from distillery.cli.follow import follow
from distillery.cli.render import onnx_check, provenance, result_table
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.sdk.client import Client
from distillery.sdk.errors import ExitCode, JobFailed
from distillery.sdk.format import verdict
from distillery.sdk.job import Job
from kdcore.spec.result import DistillResult


def watch_to_end(term: Terminal, client: Client, job: Job) -> None:
    """Follow a job to its end and print its result. Raises JobFailed unless it succeeded."""
    run_status = RunStatus(f"{job.name}  {job.id}", job.state)
    try:
        with StatusDisplay(term.out, run_status, as_json=term.as_json) as display:
            follow(client.jobs, job, display)
    except KeyboardInterrupt:
        term.err.print(
            f"Detached; the job goes on.\n"
            f"Watch it again: kd jobs watch {job.id}\n"
            f"Stop it: kd jobs cancel {job.id}",
            highlight=False,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    term.print_json_line({"job": job.model_dump(mode="json")})
    if job.state != "succeeded":
        raise JobFailed(job)
    if job.result and not term.as_json:
        print_result(term, job.result)
    term.print(f"Download its files: kd jobs pull {job.id}")


def print_result(term: Terminal, result: DistillResult) -> None:
    """Print the table of a result, and what it comes to."""
    term.out.print(result_table(result), highlight=False)
    for line in (verdict(result), provenance(result), onnx_check(result.artifacts)):
        if line:
            term.print(line)

"""`kd run`: one run on this machine, without a service."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.commands.common import require_extras, terminal
from distillery.cli.commands.watching import print_result
from distillery.cli.display import StatusDisplay
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.local import runs
from distillery.local.spec import read_file_spec, run_of
from distillery.sdk.errors import ExitCode
from kdcore.spec.result import DistillResult, RunResult
from kdcore.spec.run import OUT_DIR


def run(
    context: typer.Context,
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="A job's spec in JSON.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="The run's folder.", show_default=False)
    ],
    device: Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads. Default: torch chooses.")
    ] = None,
) -> None:
    """Run a job's spec on this machine, without a service.

    The spec is that of `kd jobs submit`, with paths, relative to its own folder, in place of ids:
    {"teachers": [{"model": "teacher.safetensors"}], "dataset": "digits.npz", ...}. The teacher's
    network is read from `NAME.config.json` or `config.json` beside its weights, as exports write
    them, or from the spec: {"model": {"path": "teacher.safetensors", "network": {"architecture":
    "resnet20", "num_classes": 10}}}. A dataset is an npz file, a zip file or a folder.

    Ctrl-C writes a checkpoint; the same command resumes the run.
    """
    term = terminal(context)
    require_extras("kd run", "train")
    folder = out.absolute()
    given = read_file_spec(spec)
    runs.lay_out(run_of(given, spec, device=device, threads=threads), folder)
    result = runs.result_of(folder)
    if result is None:
        run_status = RunStatus(given.name or spec.stem)
        try:
            with StatusDisplay(term.out, run_status, as_json=term.as_json) as display:
                result = runs.carry_out(folder, display.apply_run_event)
                run_status.state = "succeeded"
                display.show()
        except KeyboardInterrupt:
            term.err.print("Stopped at a checkpoint; the same command resumes the run.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    _show(term, result, folder)


def _show(term: Terminal, result: RunResult, folder: Path) -> None:
    if term.print_json_line({"result": result.model_dump(mode="json")}):
        return
    if isinstance(result, DistillResult):
        print_result(term, result)
    term.print(f"Its files are in {folder / OUT_DIR}")

"""`kd run`: one run on this machine, without a service."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.commands.common import require_extras, terminal
from distillery.cli.display import Display
from distillery.cli.render import onnx_check, provenance, result_table, verdict
from distillery.cli.run_status import RunStatus
from distillery.cli.terminal import Terminal
from distillery.local import runs
from distillery.sdk.errors import ExitCode
from kdcore.spec.result import DistillResult, RunResult
from kdcore.spec.run import OUT_DIR


def run(
    context: typer.Context,
    spec: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="A RunSpec in JSON.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="The run's folder.", show_default=False)
    ],
) -> None:
    """Run a spec here, with no service; paths in it are relative to its own folder.

    Ctrl-C writes a checkpoint; the same command takes the run up again.
    """
    term = terminal(context)
    require_extras("kd run", "train")
    folder = out.absolute()
    runs.lay_out(spec, folder)
    result = runs.result_of(folder)
    if result is None:
        run_status = RunStatus(spec.stem)
        try:
            with Display(term.out, run_status, as_json=term.as_json) as display:
                result = runs.carry_out(folder, display.run_event)
                run_status.state = "succeeded"
                display.update()
        except KeyboardInterrupt:
            term.err.print("Stopped at a checkpoint; the same command takes the run up again.")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    _show(term, result, folder)


def _show(term: Terminal, result: RunResult, folder: Path) -> None:
    if term.answered_line({"result": result.model_dump(mode="json")}):
        return
    if isinstance(result, DistillResult):
        term.out.print(result_table(result), highlight=False)
        for line in (verdict(result), provenance(result), onnx_check(result.artifacts)):
            if line:
                term.say(line)
    term.say(f"Its files are in {folder / OUT_DIR}")

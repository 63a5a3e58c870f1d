"""`kd run`: one run on this machine, without a service."""

from pathlib import Path
from typing import Annotated

import typer

from client import localrun
from client.board import Board
from client.commands.common import terminal
from client.display import Display
from client.errors import ExitCode
from client.tables import onnx_check, provenance, result_table, verdict
from client.terminal import Terminal
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
    folder = out.absolute()
    localrun.lay_out(spec, folder)
    result = localrun.result_of(folder)
    if result is None:
        board = Board(spec.stem)
        try:
            with Display(term.out, board, as_json=term.as_json) as display:
                result = localrun.carry_out(folder, display)
                board.state = "succeeded"
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

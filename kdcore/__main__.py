"""The command line of the library: `python -m kdcore run DIR`, `validate DIR` and `warm`."""

import argparse
import sys
from pathlib import Path

from kdcore.runs.run import run
from kdcore.runs.warm import wait_for_directory
from kdcore.runtime.errors import RunError
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.runtime.specfile import read_spec
from kdcore.spec import distribution, failpoints
from kdcore.spec.codes import Exit
from kdcore.spec.run import DistillRun

DESCRIPTION = """\
Distils a large trained network into a small one. A run directory holds spec.json, which says what
to do; a run writes events.jsonl, checkpoints/ and out/, with the student and result.json, beside
it. Start a run that was stopped again to resume it.
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, execute the command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m kdcore",
        description=DESCRIPTION,
        epilog="exit codes: " + ", ".join(f"{e.value} {e.name}" for e in Exit),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--failpoint", type=failpoints.check, help=argparse.SUPPRESS)  # for tests
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in (
        ("run", "execute DIR/spec.json, or resume it"),
        ("validate", "check DIR/spec.json and every file it names, without training"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("dir", metavar="DIR", type=Path, help="the run directory")
    help_text = "import everything a run needs, print `ready`, then run the DIR that stdin names"
    commands.add_parser("warm", help=help_text, description=help_text)
    given = parser.parse_args(arguments)
    distribution.require("python -m kdcore", "train")
    if given.command == "validate":
        return _validate(given.dir)
    if given.command == "run" and not given.dir.is_dir():
        parser.error(f"{given.dir} is not a directory")
    failpoints.arm(given.failpoint)
    stop = StopFlag()
    stop.listen()
    try:
        folder = wait_for_directory() if given.command == "warm" else given.dir
        return Exit.OK if folder is None else run(folder, stop)
    except Interrupted:
        return Exit.INTERRUPTED


def _validate(folder: Path) -> int:
    try:
        spec = read_spec(folder)
        if isinstance(spec, DistillRun):
            from kdcore.runs.prepare import prepare  # here, since torch takes seconds to import

            prepare(spec, folder)
    except RunError as error:
        where = f" at {error.pointer}" if error.pointer else ""
        sys.stderr.write(f"{error.code}{where}: {error.message}\n")
        return error.exit
    sys.stdout.write("ok\n")
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())

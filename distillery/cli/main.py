"""`kd`, the command line: its commands, global options and exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from distillery.cli.commands import datasets, demo, gc, jobs, keys, methods, models, run, status, up
from distillery.cli.terminal import Terminal
from distillery.sdk.config import ClientSettings
from distillery.sdk.errors import ClientError, ExitCode
from kdcore.spec import distribution

FIRST_STEPS = """\b
First steps:
  kd demo                        # see it work, in a few minutes
  kd up                          # start a service; then, in another terminal:
  kd datasets push digits.npz
  kd jobs submit --student resnet8 --dataset digits --watch
"""
EXITS = "\b\nExit codes:\n" + "".join(f"  {code.value:<4} {code.meaning}\n" for code in ExitCode)
GLOBAL_FLAGS = frozenset({"--json"})
GLOBAL_OPTIONS = frozenset({"--url", "--key"})

app = typer.Typer(
    name="kd",
    help="Distil large trained networks into small ones.",
    epilog=f"{FIRST_STEPS}\n{EXITS}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
WORK, SERVICE = "Work", "Service"  # panels of `kd --help`
app.add_typer(datasets.app, name="datasets", rich_help_panel=WORK)
app.add_typer(models.app, name="models", rich_help_panel=WORK)
app.add_typer(jobs.app, name="jobs", rich_help_panel=WORK)
app.command("methods", rich_help_panel=WORK)(methods.methods)
app.command("run", rich_help_panel=WORK)(run.run)
app.command("up", rich_help_panel=SERVICE)(up.up)
app.command("demo", rich_help_panel=SERVICE)(demo.demo)
app.command("status", rich_help_panel=SERVICE)(status.status)
app.command("gc", rich_help_panel=SERVICE)(gc.gc)
app.add_typer(keys.app, name="keys", rich_help_panel=SERVICE)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kd {distribution.version()}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="URL of the service. Default: KD_URL, or the `kd up` of this folder."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Bearer key. Default: KD_KEY.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Distil large trained networks into small ones.

    --url, --key and --json may be given anywhere on the line.
    """
    settings = ClientSettings()
    given = {name: value for name, value in (("url", url), ("key", key)) if value is not None}
    context.obj = Terminal(settings.model_copy(update=given), as_json=as_json)


def hoist(args: Sequence[str]) -> list[str]:
    """Move the global options to the front, where the parser expects them."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(args)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return [*front, *rest, word, *waiting]
        if word in GLOBAL_FLAGS or word.partition("=")[0] in GLOBAL_OPTIONS:
            front.append(word)
            if word in GLOBAL_OPTIONS and waiting:
                front.append(waiting.pop(0))
        else:
            rest.append(word)
    return [*front, *rest]


def main(args: Sequence[str] | None = None) -> None:
    """Run a command line; nothing that a user can cause ends in a traceback."""
    given = hoist(sys.argv[1:] if args is None else args)
    try:
        app(given, standalone_mode=True)
    except ClientError as error:
        Terminal(ClientSettings(), as_json="--json" in given).print_error(error)
        sys.exit(error.exit)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # `kd jobs list | head`
        sys.stderr.close()
        sys.exit(ExitCode.OK)


if __name__ == "__main__":
    main()

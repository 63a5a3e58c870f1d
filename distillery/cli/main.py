"""`kd`, the command line: its commands, its global options, and its exit codes."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from distillery.cli.commands import datasets, demo, gc, jobs, keys, methods, models, run, status, up
from distillery.cli.terminal import Terminal
from distillery.sdk.config import ClientSettings
from distillery.sdk.errors import ClientError, ExitCode
from kdcore.spec import distribution

EXITS = """Exit codes: 0 done; 1 the job failed or was cancelled, or the service refused;
2 wrong usage; 3 the service cannot be reached; 4 not allowed (key or scope); 130 interrupted."""
GLOBAL_FLAGS = frozenset({"--json"})
GLOBAL_OPTIONS = frozenset({"--url", "--key"})

app = typer.Typer(
    name="kd",
    help="Distil large trained networks into small ones.",
    epilog=EXITS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="datasets")
app.add_typer(jobs.app, name="jobs")
app.command("run")(run.run)
app.add_typer(keys.app, name="keys")
app.command("methods")(methods.methods)
app.command("gc")(gc.gc)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kd {distribution.version()}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="The service; KD_URL, or the one of `kd up` here.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Bearer key; KD_KEY.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Distil large trained networks into small ones.

    --url, --key and --json may stand anywhere on the line.
    """
    settings = ClientSettings()
    given = {name: value for name, value in (("url", url), ("key", key)) if value is not None}
    context.obj = Terminal(settings.model_copy(update=given), as_json=as_json)


def hoist(args: Sequence[str]) -> list[str]:
    """The arguments with the global options moved to the front, where the parser wants them."""
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
    """The entry point: no traceback for anything a person can cause."""
    given = hoist(sys.argv[1:] if args is None else args)
    try:
        app(given, standalone_mode=True)
    except ClientError as error:
        Terminal(ClientSettings(), as_json="--json" in given).complain(error)
        sys.exit(error.exit)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:  # `kd jobs list | head`
        sys.stderr.close()
        sys.exit(ExitCode.OK)


if __name__ == "__main__":
    main()

"""Builds docs/cli.md: every command of `kd` with its arguments, options and defaults."""

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import Any, get_args, get_origin

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from distillery.cli.main import app
from scripts.markdown import cell, table

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
INTRO = Path(__file__).with_name("cli.md").read_text(encoding="utf-8")
VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
Parameter = TyperArgument | TyperOption


def build() -> str:
    """Build the page."""
    kd = get_command(app)
    assert isinstance(kd, TyperGroup)
    exits, sections = _exits(kd.epilog or ""), list(_commands(kd, "kd"))
    blocks = [
        INTRO.rstrip(),
        "## Global options\n\nThey may appear anywhere on the line.",
        _table(_options(kd.params)),
        "## Exit codes",
        table(("code", "meaning"), exits),
        *sections,
    ]
    return "\n\n".join(blocks) + "\n"


def _exits(epilog: str) -> list[tuple[str, str]]:
    """Rows of the exit codes, from the last lines of `kd --help`."""
    lines = epilog.partition("Exit codes:\n")[2].splitlines()
    rows = [line.strip().partition(" ") for line in lines]
    assert rows and all(code.isdecimal() and meaning for code, _, meaning in rows), epilog
    return [(f"`{code}`", cell(meaning.strip())) for code, _, meaning in rows]


def _commands(group: TyperGroup, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield f"## `{path} {name}`\n\n{command.help}"
            yield from (_command(c, f"{path} {name} {n}", 3) for n, c in command.commands.items())
        else:
            yield _command(command, f"{path} {name}", 2)


def _command(command: Any, path: str, depth: int) -> str:
    assert isinstance(command, TyperCommand), path
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    rows = [*map(_argument, arguments), *_options(command.params)]
    usage = [path, *(_placeholder(a) for a in arguments)]
    usage += ["[OPTIONS]"] if len(rows) > len(arguments) else []
    blocks = [
        f"{'#' * depth} `{path}`",
        f"```text\n{' '.join(usage)}\n```",
        (command.help or "").replace("*", "\\*"),
    ]
    blocks += [_table(rows)] if rows else []
    return "\n\n".join([*blocks, *_examples(command.epilog or "")])


def _examples(epilog: str) -> list[str]:
    title, _, lines = epilog.removeprefix("\b\n").rstrip().partition("\n")
    return [title, f"```text\n{dedent(lines)}\n```"] if lines else []


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return table(("option", "default", "what it is"), rows)


def _options(params: Sequence[Any]) -> list[tuple[str, ...]]:
    return [_option(p) for p in params if isinstance(p, TyperOption) and not p.hidden]


def _argument(argument: TyperArgument) -> tuple[str, ...]:
    default = "required" if argument.required else ""
    return f"`{_placeholder(argument)}`", default, cell(argument.help or "")


def _option(option: TyperOption) -> tuple[str, ...]:
    names = " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names = f"`{option.opts[0]} {option.metavar or _value(option)}`"
    return names, _default(option), cell(f"{option.help or ''} {_range(option)}")


def _placeholder(argument: TyperArgument) -> str:
    name = (argument.metavar or argument.name or "").upper()
    return name if argument.required else f"[{name}]"


def _value(option: TyperOption) -> str:
    kind = option.type_descriptor.annotation
    if choices := _choices(kind):
        return "\\|".join(choices)
    return VALUES[kind]


def _choices(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    return list(get_args(kind)) if get_origin(kind) is not list else []


def _default(option: TyperOption) -> str:
    if option.required:
        return "required"
    value = getattr(option, "default", None)
    if value is None or value is False:
        return ""
    if value is True:
        return f"`{option.opts[0]}`"
    return f"`{value}`"


def _range(option: TyperOption) -> str:
    low, high = option.min, option.max
    if low is not None and high is not None:
        return f"From {low} to {high}."
    return f"At least {low}." if low is not None else ""

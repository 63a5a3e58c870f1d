"""`kd models`: push trained weights, list, show, pull, remove."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from distillery.cli.commands.common import (
    FileArgument,
    NameOption,
    WaitOption,
    download_bar,
    terminal,
    upload_bar,
)
from distillery.cli.render import number
from distillery.cli.render import size as file_size
from distillery.cli.specs import scalars
from distillery.cli.terminal import Terminal
from distillery.local.spec import read_network
from distillery.sdk.errors import UsageMistake
from distillery.wire.catalog import Model
from kdcore.spec.faults import faults_in
from kdcore.spec.recipe import WeightsFormat
from kdcore.spec.run import Network

app = typer.Typer(help="Trained networks: teachers, and students that jobs made.")
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Id or name.", show_default=False)
]


@app.command()
def push(
    context: typer.Context,
    file: FileArgument,
    architecture: Annotated[
        str | None, typer.Option(help="As `resnet20`, `torchvision/resnet18`, `timm/vit_tiny...`.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Classes it tells apart.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A config.json as a job exports it."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Architecture option; repeat.")
    ] = None,
    channels: Annotated[int, typer.Option(help="Input channels.")] = 3,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Input height and width in pixels.")
    ] = "32x32",
    mean: Annotated[
        str, typer.Option(help="Subtracted from pixels in [0, 1]; one value or one per channel.")
    ] = "0",
    std: Annotated[str, typer.Option(help="Divided by, after the mean; as --mean.")] = "1",
    name: NameOption = None,
    wait: WaitOption = True,
) -> None:
    """Send trained weights: safetensors, or a PyTorch state dict (.pt, .pth).

    What they are is said by --config, or by --architecture, --num-classes and the input options.
    """
    term = terminal(context)
    if config:
        network = read_network(config)
    elif architecture and num_classes:
        network = _network(
            {
                "architecture": architecture,
                "options": scalars(option or [], "--option"),
                "num_classes": num_classes,
                "input": {
                    "channels": channels,
                    **_sides(size),
                    "mean": _numbers(mean, "--mean"),
                    "std": _numbers(std, "--std"),
                },
            }
        )
    else:
        raise UsageMistake(
            "What network are these weights of?",
            hint="Say --architecture and --num-classes, or --config with an exported config.json.",
        )
    _push(term, file, network, name, wait)


def _push(term: Terminal, file: Path, network: Network, name: str | None, wait: bool) -> None:
    with term.client() as service:
        with upload_bar(term, file) as report:
            model = service.models.push_network(
                file, network, name=name, format=_format(file), on_progress=report
            )
        if wait:
            with term.err.status("Inspecting"):
                model = service.models.wait(model.id)
    _show(term, model)


@app.command("list")
def list_(context: typer.Context) -> None:
    """All models, newest first."""
    term = terminal(context)
    with term.client() as service:
        models = list(service.models.list())
    if term.answered(models):
        return
    term.table(
        ("id", "name", "state", "architecture", "classes", "parameters", "size"),
        (
            (
                m.id,
                m.name,
                m.state,
                m.network.architecture,
                str(m.network.num_classes),
                number(m.parameters),
                file_size(m.size_bytes),
            )
            for m in models
        ),
        "No models yet: `kd models push FILE`, or train one with `kd jobs submit`.",
    )


@app.command()
def show(context: typer.Context, model: ModelArgument) -> None:
    """One model, with every module path that a tap may name."""
    term = terminal(context)
    with term.client() as service:
        found = service.models.get(service.models.resolve(model))
    _show(term, found)
    if found.modules and not term.as_json:
        term.say("modules")
        term.out.print("  " + "  ".join(name for name in found.modules if name), highlight=False)


@app.command()
def pull(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write to.")] = Path(),
) -> None:
    """Fetch a model: NAME.safetensors and NAME.config.json, which rebuilds the network."""
    term = terminal(context)
    with term.client() as service:
        found = service.models.get(service.models.resolve(model))
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in found.name).lstrip(".")
        target = out / f"{stem or found.id}.safetensors"
        with download_bar(term, target.name, found.size_bytes) as report:
            service.models.pull(found, target, report)
    config = target.with_suffix(".config.json")
    config.write_text(found.network.model_dump_json(indent=2) + "\n")
    if term.answered({"weights": str(target), "config": str(config)}):
        return
    term.say(f"{target}\n{config}")


@app.command()
def rm(context: typer.Context, model: ModelArgument) -> None:
    """Remove a model; refused while a job that has not ended uses it."""
    term = terminal(context)
    with term.client() as service:
        model_id = service.models.resolve(model)
        service.models.remove(model_id)
    if not term.answered({"removed": model_id}):
        term.say(f"Removed {model_id}")


def _show(term: Terminal, model: Model) -> None:
    if term.answered(model):
        return
    i = model.network.input
    term.say(f"[bold]{model.id}[/]  {model.state}")
    rows = [
        ("name", model.name),
        ("network", f"{model.network.architecture}, {model.network.num_classes} classes"),
        ("input", f"{i.channels} x {i.height} x {i.width}"),
        ("parameters", number(model.parameters)),
        ("size", file_size(model.size_bytes)),
        ("made by", model.source_job or "upload"),
    ]
    if model.error:
        rows.append(("rejected", f"{model.error.message} ({model.error.code})"))
    term.table(("", ""), rows, "")


def _network(values: object) -> Network:
    try:
        return Network.model_validate(values)
    except ValidationError as error:
        first = faults_in(values, error.errors())[0]
        message = f"This describes no network: {first.pointer}: {first.message}"
        raise UsageMistake(message) from error


def _format(file: Path) -> WeightsFormat:
    return "safetensors" if file.suffix == ".safetensors" else "state_dict"


def _sides(text: str) -> dict[str, int]:
    height, _, width = text.lower().partition("x")
    try:
        return {"height": int(height), "width": int(width or height)}
    except ValueError as error:
        raise UsageMistake(f"--size wants pixels as 28x28, not {text!r}.") from error


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageMistake(f"{option} wants numbers with commas, not {text!r}.") from error

"""`kd models`: push trained weights, list, show, pull, remove."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.commands.common import FileArgument, NameOption, WaitOption, terminal
from distillery.cli.specs import scalars
from distillery.cli.terminal import Terminal
from distillery.local.spec import read_network
from distillery.sdk.errors import UsageMistake
from distillery.sdk.format import number
from distillery.sdk.views import Model
from distillery.sdk.weights import describe_network
from kdcore.spec.run import Network

app = typer.Typer(help="Push and manage models: teachers, and the students of jobs.")
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Id or name.", show_default=False)
]
PUSH_EXAMPLES = """\b
Examples:
  kd models push teacher.pt --architecture resnet20 --num-classes 10
  kd models push resnet50.pth --architecture torchvision/resnet50 \\
    --num-classes 1000 --size 224x224 \\
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  kd models push student/student.safetensors --name student
"""


Architecture = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="For example resnet20, torchvision/resnet18, timm/vit_tiny_patch16_224.",
    ),
]
NumClasses = Annotated[
    int | None, typer.Option(metavar="N", help="Number of classes that it predicts.")
]
Config = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Use the config.json that a job exported."),
]
Option = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Option of the architecture; repeatable."),
]
Channels = Annotated[int, typer.Option(metavar="N", help="Input channels.")]
Size = Annotated[str, typer.Option(metavar="HxW", help="Input height and width in pixels.")]
Mean = Annotated[
    str,
    typer.Option(
        metavar="X,...", help="Mean of the pixels, in [0, 1]: one value, or one per channel."
    ),
]
Std = Annotated[str, typer.Option(metavar="X,...", help="Standard deviation of the pixels.")]


@app.command(epilog=PUSH_EXAMPLES)
def push(
    context: typer.Context,
    file: FileArgument,
    architecture: Architecture = None,
    num_classes: NumClasses = None,
    config: Config = None,
    option: Option = None,
    channels: Channels = 3,
    size: Size = "32x32",
    mean: Mean = "0",
    std: Std = "1",
    name: NameOption = None,
    wait: WaitOption = True,
) -> None:
    """Push trained weights: safetensors, or a PyTorch state dict (.pt, .pth).

    Describe the network with --architecture, --num-classes and the input options.
    Weights that a job exported need only --config, and as safetensors not even that.
    """
    term = terminal(context)
    network: Network | None = None
    if config:
        network = read_network(config)
    elif architecture:
        if num_classes is None:
            raise UsageMistake("--num-classes is missing.")
        network = describe_network(
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
    with term.client() as client:
        model = client.models.push(file, network=network, name=name, wait=wait)
    _show(term, model)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all models, newest first."""
    term = terminal(context)
    with term.client() as client:
        models = list(client.models.list())
    if term.print_json(models):
        return
    term.print_table(
        ("id", "name", "state", "architecture", "parameters"),
        ((m.id, m.name, m.state, m.network.architecture, number(m.parameters)) for m in models),
        empty="No models yet. Push one: kd models push FILE; or train one: kd jobs submit",
    )


@app.command()
def show(context: typer.Context, model: ModelArgument) -> None:
    """Show one model and the modules that a tap may name."""
    term = terminal(context)
    with term.client() as client:
        found = client.models.get(model)
    _show(term, found)


@app.command()
def pull(
    context: typer.Context,
    model: ModelArgument,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write to.")] = Path(),
) -> None:
    """Download a model: NAME.safetensors, and NAME.config.json, which describes the network."""
    term = terminal(context)
    with term.client() as client:
        weights = client.models.download(client.models.get(model), out)
    config = weights.with_suffix(".config.json")
    if not term.print_json({"weights": str(weights), "config": str(config)}):
        term.print(f"{weights}\n{config}")


@app.command()
def rm(context: typer.Context, model: ModelArgument) -> None:
    """Remove a model; refused while an unfinished job uses it."""
    term = terminal(context)
    with term.client() as client:
        model_id = client.models.resolve(model)
        client.models.delete(model_id)
    if not term.print_json({"removed": model_id}):
        term.print(f"Removed {model_id}")


def _show(term: Terminal, model: Model) -> None:
    if not term.print_json(model):
        term.print(f"[bold]{model.id}[/]")
        modules = [("modules", ", ".join(model.modules))] if model.modules else []
        term.print_table(("", ""), [*model.facts(), *modules])


def _sides(text: str) -> dict[str, int]:
    height, _, width = text.lower().partition("x")
    try:
        return {"height": int(height), "width": int(width or height)}
    except ValueError as error:
        raise UsageMistake(f"--size takes pixels like 28x28, not {text!r}.") from error


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageMistake(f"{option} takes numbers separated by commas, not {text!r}.") from error

"""`kd datasets`: push, list, show, remove."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.commands.common import NameOption, WaitOption, terminal
from distillery.cli.terminal import Terminal
from distillery.sdk.format import number
from distillery.sdk.views import Dataset
from kdcore.spec.recipe import DatasetFormat

app = typer.Typer(help="Push and manage datasets.", no_args_is_help=True)
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Id or name.", show_default=False)
]
PUSH_EXAMPLES = """\b
Examples:
  kd datasets push digits.npz
  kd datasets push photos/ --name photos
"""


@app.command(epilog=PUSH_EXAMPLES)
def push(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", exists=True, readable=True, show_default=False)
    ],
    format: Annotated[
        DatasetFormat | None, typer.Option(help="Default: detected from the file names.")
    ] = None,
    name: NameOption = None,
    wait: WaitOption = True,
) -> None:
    """Push a dataset: an npz file, a folder, or a zip of one.

    An npz file holds x_train, y_train, x_test and y_test.
    A folder holds train/CLASS/IMAGE and test/CLASS/IMAGE, or IDX files like MNIST.
    """
    term = terminal(context)
    with term.client() as client:
        dataset = client.datasets.push(path, format=format, name=name, wait=wait)
    _show(term, dataset)


@app.command("list")
def list_(context: typer.Context) -> None:
    """List all datasets, newest first."""
    term = terminal(context)
    with term.client() as client:
        datasets = list(client.datasets.list())
    if term.print_json(datasets):
        return
    term.print_table(
        ("id", "name", "state", "train", "test", "classes"),
        (
            (d.id, d.name, d.state, number(d.train), number(d.test), number(d.num_classes))
            for d in datasets
        ),
        empty="No datasets yet. Push one: kd datasets push PATH",
    )


@app.command()
def show(context: typer.Context, dataset: DatasetArgument) -> None:
    """Show one dataset and what it holds."""
    term = terminal(context)
    with term.client() as client:
        found = client.datasets.get(dataset)
    _show(term, found)


@app.command()
def rm(context: typer.Context, dataset: DatasetArgument) -> None:
    """Remove a dataset; refused while an unfinished job uses it."""
    term = terminal(context)
    with term.client() as client:
        dataset_id = client.datasets.resolve(dataset)
        client.datasets.delete(dataset_id)
    if not term.print_json({"removed": dataset_id}):
        term.print(f"Removed {dataset_id}")


def _show(term: Terminal, dataset: Dataset) -> None:
    if not term.print_json(dataset):
        term.print(f"[bold]{dataset.id}[/]")
        term.print_table(("", ""), dataset.facts())

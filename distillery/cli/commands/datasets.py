"""`kd datasets`: push, list, show, remove."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli.commands.common import NameOption, WaitOption, terminal, upload_bar
from distillery.cli.render import number, size
from distillery.cli.terminal import Terminal
from distillery.sdk.folder import dataset_format, one_file
from distillery.wire.catalog import Dataset
from kdcore.spec.recipe import DatasetFormat

app = typer.Typer(help="Images to train and to test on.")
DatasetArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="Id or name.", show_default=False)
]


@app.command()
def push(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(exists=True, readable=True, show_default=False)],
    format: Annotated[
        DatasetFormat | None, typer.Option(help="Seen from the file's names, if none.")
    ] = None,
    name: NameOption = None,
    wait: WaitOption = True,
) -> None:
    """Send a dataset: a .npz file, a zip file or a folder.

    npz: x_train, y_train, x_test, y_test. Folder: train/CLASS/*.png and test/CLASS/*.png, or IDX
    files of the MNIST kind.
    """
    term = terminal(context)
    chosen = format or dataset_format(path)
    with one_file(path) as file, term.client() as service:
        with upload_bar(term, file) as report:
            dataset = service.datasets.push(file, format=chosen, name=name, on_progress=report)
        if wait:
            with term.err.status("Inspecting"):
                dataset = service.datasets.wait(dataset.id)
    _show(term, dataset)


@app.command("list")
def list_(context: typer.Context) -> None:
    """All datasets, newest first."""
    term = terminal(context)
    with term.client() as service:
        datasets = list(service.datasets.list())
    if term.answered(datasets):
        return
    term.table(
        ("id", "name", "state", "images", "classes", "size"),
        (
            (d.id, d.name, d.state, _images(d), number(d.num_classes), size(d.size_bytes))
            for d in datasets
        ),
        "No datasets yet: `kd datasets push PATH`.",
    )


@app.command()
def show(context: typer.Context, dataset: DatasetArgument) -> None:
    """One dataset and what is in it."""
    term = terminal(context)
    with term.client() as service:
        found = service.datasets.get(service.datasets.resolve(dataset))
    _show(term, found)


@app.command()
def rm(context: typer.Context, dataset: DatasetArgument) -> None:
    """Remove a dataset; refused while a job that has not ended uses it."""
    term = terminal(context)
    with term.client() as service:
        dataset_id = service.datasets.resolve(dataset)
        service.datasets.remove(dataset_id)
    if not term.answered({"removed": dataset_id}):
        term.say(f"Removed {dataset_id}")


def _show(term: Terminal, dataset: Dataset) -> None:
    if term.answered(dataset):
        return
    term.say(f"[bold]{dataset.id}[/]  {dataset.state}")
    shape = (dataset.channels, dataset.height, dataset.width)
    rows = [
        ("name", dataset.name),
        ("format", dataset.format),
        ("images", _images(dataset)),
        ("shape", " x ".join(number(n) for n in shape)),
        ("classes", number(dataset.num_classes)),
        ("size", size(dataset.size_bytes)),
    ]
    if dataset.error:
        rows.append(("rejected", f"{dataset.error.message} ({dataset.error.code})"))
    term.table(("", ""), rows, "")


def _images(dataset: Dataset) -> str:
    if dataset.train is None:
        return "-"
    return f"{number(dataset.train)} train, {number(dataset.test)} test"

"""`kd jobs submit`: a job from a spec file or from options."""

from pathlib import Path
from typing import Annotated

import typer

from distillery.cli import specs
from distillery.cli.commands.common import terminal
from distillery.cli.commands.watching import watch_to_end
from distillery.cli.terminal import Terminal
from distillery.local.spec import read_object
from distillery.sdk.client import Client
from distillery.sdk.errors import UsageMistake

Pairs = list[str] | None
SpecArgument = Annotated[Path | None, typer.Argument(help="A job's spec in JSON, or options.")]
Teacher = Annotated[
    Pairs, typer.Option(metavar="MODEL[:WEIGHT]", help="Id or name; repeat for an ensemble.")
]
Student = Annotated[str | None, typer.Option(help="Architecture, as `resnet8`.")]
Option = Annotated[Pairs, typer.Option(metavar="NAME=VALUE", help="Student option; repeat.")]
Dataset = Annotated[str | None, typer.Option(help="Id or name.")]
Method = Annotated[
    Pairs,
    typer.Option(
        metavar="NAME[:KNOB=VALUE,...]",
        help="Objective; repeat. If none: kd and hard_target with a teacher, else hard_target.",
    ),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="6, if none.")]
BatchSize = Annotated[int | None, typer.Option(min=1)]
LearningRate = Annotated[float | None, typer.Option()]
Augment = Annotated[
    str | None, typer.Option(help="Names with commas: crop, flip, cutout, mixup, ...; or none.")
]
Views = Annotated[
    int | None,
    typer.Option(
        min=1, help="Augmentations per image, shown in turn; a teacher's outputs are kept."
    ),
]
Validation = Annotated[float | None, typer.Option(help="Part held out, 0 to 1.")]
Seed = Annotated[int | None, typer.Option(min=0)]
Baseline = Annotated[
    bool | None, typer.Option("--baseline/--no-baseline", help="Train from scratch too.")
]
Name = Annotated[str | None, typer.Option(help="A name for people.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only check it and estimate.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it to its end.")]


def submit(
    context: typer.Context,
    spec: SpecArgument = None,
    teacher: Teacher = None,
    student: Student = None,
    option: Option = None,
    dataset: Dataset = None,
    method: Method = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    augment: Augment = None,
    views: Views = None,
    validation: Validation = None,
    seed: Seed = None,
    baseline: Baseline = None,
    name: Name = None,
    dry_run: DryRun = False,
    watch: Watch = False,
) -> None:
    """Ask for a job.

    Example: kd jobs submit --teacher my-resnet --student resnet8 --dataset digits
    --method kd:temperature=4,weight=0.9 --method hard_target:weight=0.1 --epochs 6 --watch
    """
    flags = specs.Flags(
        teachers=teacher,
        student=student,
        options=option,
        dataset=dataset,
        methods=method,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        augment=augment,
        views=views,
        validation=validation,
        seed=seed,
        baseline=baseline,
    )
    if spec and flags != specs.Flags():
        raise UsageMistake("Give a spec file or options, not both.")
    body = read_object(spec) if spec else specs.build(flags)
    if name:
        body["name"] = name
    term = terminal(context)
    with term.client() as service:
        _send(term, service, specs.with_ids(body, service), dry_run=dry_run, watch=watch)


def _send(term: Terminal, service: Client, body: specs.Spec, *, dry_run: bool, watch: bool) -> None:
    if dry_run:
        check = service.jobs.check(body)
        if term.answered(check):
            return
        time = f"about {check.estimated_s:,.0f} s" if check.estimated_s else "unknown time"
        term.say(f"It would be accepted: {check.steps:,} steps, {time}.")
        return
    job = service.jobs.submit(body)
    if watch:
        watch_to_end(term, service, job)
    elif not term.answered(job):
        term.say(f"[bold]{job.id}[/]  {job.name}  {job.state}\nFollow it: kd jobs watch {job.id}")

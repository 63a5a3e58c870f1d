"""`kd jobs submit`: submits a job from a spec file or from options."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from distillery.cli import specs
from distillery.cli.commands.common import terminal
from distillery.cli.commands.watching import watch_to_end
from distillery.cli.terminal import Terminal
from distillery.local.spec import read_object
from distillery.sdk.client import Client
from distillery.sdk.errors import UsageMistake

Pairs = list[str] | None
EXAMPLES = """\b
Examples:
  kd jobs submit --student resnet20 --dataset digits --watch
  kd jobs submit --teacher big --student resnet8 --dataset digits --epochs 30
  kd jobs submit --teacher big --student resnet8 --dataset digits \\
    --method kd:temperature=4,weight=0.9 --method hard_target:weight=0.1
  kd jobs submit spec.json --dry-run
"""
SpecArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="SPEC", help="Job spec in JSON. Default: made from the options.", show_default=False
    ),
]
Teacher = Annotated[
    Pairs,
    typer.Option(
        metavar="MODEL[:WEIGHT]", help="Teacher model by id or name; repeat for an ensemble."
    ),
]
Student = Annotated[
    str | None, typer.Option(metavar="NAME", help="Student architecture, for example resnet8.")
]
Option = Annotated[
    Pairs,
    typer.Option(metavar="NAME=VALUE", help="Option of the student's architecture; repeatable."),
]
Dataset = Annotated[str | None, typer.Option(metavar="DATASET", help="Dataset by id or name.")]
Method = Annotated[
    Pairs,
    typer.Option(
        metavar="NAME[:KNOBS]",
        help="Objective, with KNOB=VALUE,... of its method; repeatable. "
        "Default: kd and hard_target with a teacher, else hard_target.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Epochs to train. Default: 6.")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Images per batch. Default: 64.")
]
LearningRate = Annotated[
    float | None,
    typer.Option(metavar="X", help="Learning rate of SGD at its highest. Default: 0.05."),
]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Augmentations separated by commas: crop, flip, cutout, mixup, ...; or `none`. "
        "Default: crop,flip.",
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Augmentations per image, used in turn, so that teacher outputs can be cached. "
        "Default: new ones every epoch.",
    ),
]
Validation = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Fraction of the training images held out, 0 to 1. Default: 0.1."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, metavar="N", help="Random seed. Default: 0.")]
Baseline = Annotated[
    bool | None,
    typer.Option(
        "--baseline/--no-baseline", help="Also train the same student from scratch. Default: yes."
    ),
]
Name = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Name to list it by. Default: made from the spec."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only check the spec and estimate its cost.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Follow the job to its end.")]


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
    """Submit a job, described by a spec file or by options.

    Without a teacher, the job trains the student on the labels alone.
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
        raise UsageMistake(
            "A spec file and options cannot be combined.", hint="Give one or the other."
        )
    body = read_object(spec) if spec else specs.build(flags)
    if name:
        body["name"] = name
    term = terminal(context)
    with term.client() as client:
        _submit(term, client, specs.with_ids(body, client), dry_run=dry_run, watch=watch)


def _submit(
    term: Terminal, client: Client, body: specs.Spec, *, dry_run: bool, watch: bool
) -> None:
    if dry_run:
        check = client.jobs.check(body)
        if term.print_json(check):
            return
        time = f"about {check.estimated_s:,.0f} s" if check.estimated_s else "duration unknown"
        term.print(f"The spec is valid: {check.steps:,} steps, {time}.")
        return
    job = client.jobs.submit(body)
    if watch:
        watch_to_end(term, client, job)
    elif not term.print_json(job):
        term.print(
            f"[bold]{job.id}[/]  {escape(job.name)}  {job.state}\nFollow it: kd jobs watch {job.id}"
        )

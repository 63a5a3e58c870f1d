"""Job specs as people write them: in flags, and with names in place of ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distillery.sdk.client import Client
from distillery.sdk.errors import UsageMistake
from kdcore.spec.recipe import Scalar

Spec = dict[str, Any]
EPOCHS = 6


@dataclass(frozen=True)
class Flags:
    """A one-stage job in flags; what is None is left to the service's defaults."""

    teachers: Sequence[str] | None = None
    student: str | None = None
    options: Sequence[str] | None = None
    dataset: str | None = None
    methods: Sequence[str] | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    augment: str | None = None
    views: int | None = None
    validation: float | None = None
    seed: int | None = None
    baseline: bool | None = None


def build(flags: Flags) -> Spec:
    """The spec that the flags describe. Raises UsageMistake for too little or misshapen ones."""
    if not (flags.student and flags.dataset):
        raise UsageMistake(
            "Nothing to submit.", hint="Give a spec file, or --student and --dataset."
        )
    methods = flags.methods or (("kd", "hard_target") if flags.teachers else ("hard_target",))
    stage: Spec = {
        "epochs": flags.epochs or EPOCHS,
        "objectives": [_objective(text) for text in methods],
    }
    if flags.learning_rate is not None:
        stage["optimizer"] = {"name": "sgd", "learning_rate": flags.learning_rate}
    data = _present(
        batch_size=flags.batch_size,
        validation=flags.validation,
        augment=None if flags.augment is None else _words(flags.augment),
    )
    return {
        "teachers": [_teacher(text) for text in flags.teachers or ()],
        "student": {
            "architecture": flags.student,
            "options": scalars(flags.options or (), "--option"),
        },
        "dataset": flags.dataset,
        "stages": [stage],
        "data": data,
        **_present(
            seed=flags.seed,
            baseline=flags.baseline,
            teacher_cache=None if flags.views is None else {"views": flags.views},
        ),
    }


def with_ids(spec: Spec, client: Client) -> Spec:
    """The spec with the names of models and datasets replaced by their ids.

    What is not shaped as a spec is left for the service to refuse.
    """
    spec = dict(spec)
    if isinstance(spec.get("dataset"), str):
        spec["dataset"] = client.datasets.resolve(spec["dataset"])
    if isinstance(spec.get("teachers"), list):
        spec["teachers"] = [_resolved(t, "model", client) for t in spec["teachers"]]
    if "student" in spec:
        spec["student"] = _resolved(spec["student"], "initial_model", client)
    return spec


def scalars(pairs: Iterable[str], option: str) -> dict[str, Scalar]:
    """`name=value` pairs as a mapping; values become bool, int or float where they look so."""
    found: dict[str, Scalar] = {}
    for pair in pairs:
        name, sep, value = pair.partition("=")
        if not (name and sep):
            raise UsageMistake(f"{option} wants NAME=VALUE, not {pair!r}.")
        found[name] = _scalar(value)
    return found


def _resolved(part: object, key: str, client: Client) -> object:
    if isinstance(part, dict) and isinstance(part.get(key), str):
        return {**part, key: client.models.resolve(part[key])}
    return part


def _teacher(text: str) -> Spec:
    """`MODEL`, or `MODEL:WEIGHT`."""
    model, sep, weight = text.rpartition(":")
    if not sep:
        return {"model": text}
    try:
        return {"model": model, "weight": float(weight)}
    except ValueError:
        return {"model": text}  # a name with a colon


def _objective(text: str) -> Spec:
    """`METHOD`, or `METHOD:KNOB=VALUE,KNOB=VALUE`."""
    method, _, knobs = text.partition(":")
    return {"method": method, **scalars([k for k in knobs.split(",") if k], "--method")}


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word and word != "none"]


def _present(**values: object) -> Spec:
    return {name: value for name, value in values.items() if value is not None}


def _scalar(text: str) -> Scalar:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

"""What the code says of a method: its docstring in parts, its paper, its knobs and its needs."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from kdcore.objectives.base import METHODS
from kdcore.objectives.map_base import MapMethod
from kdcore.objectives.objectives import MODULES
from kdcore.spec.knobs.base import Knobs, MapKnobs
from kdcore.spec.methods import KNOBS

ROOT = Path(__file__).parents[2]
READS = {"logits": "logits", "maps": "maps", "relations": "relations"}  # by the knobs' module
COMMON = ("weight_end", "warmup_epochs", "student_taps", "teacher_taps")
PAPER = re.compile(r"\((?P<authors>[^()]+?) (?P<year>\d{4})\)")
DEPARTURES = "Departures from the paper:"
LETTER = re.compile(r"[A-Z](, [A-Z])*: ")

assert len(MODULES) == len(METHODS)  # importing kdcore.objectives.objectives registers every method


@dataclass(frozen=True)
class Words:
    """A method's docstring: Markdown, its departures from the paper, what its letters mean."""

    text: str
    departures: str
    letters: str


@dataclass(frozen=True)
class Knob:
    """A row of a table of knobs; all but the name in Markdown."""

    name: str
    default: str
    range: str
    description: str


def reads(method: str) -> str:
    """`labels`, `logits`, `maps` or `relations`."""
    if method == "hard_target":
        return "labels"
    return READS[KNOBS[method].__module__.rpartition(".")[2]]


def paper(method: str) -> tuple[str, str]:
    """Authors and year, as the knobs' docstring names them; empty where there is no paper."""
    found = PAPER.search(_summary(KNOBS[method]))
    return (found["authors"], found["year"]) if found else ("", "")


def needs(method: str) -> list[str]:
    """What the method needs besides a teacher."""
    return [need for need in KNOBS[method].needs() if need != "a teacher"]


def habits(method: str) -> list[str]:
    """How it reads the networks, in sentences."""
    kind, knobs = METHODS[KNOBS[method]], KNOBS[method]
    found = []
    if issubclass(kind, MapMethod) and kind.position == "before_relu":
        found.append("Default taps read before the ReLU.")
    if kind.teacher_batch_norm == "train":
        found.append("The teacher's batch norms use their batch's statistics, whatever is asked.")
    if issubclass(knobs, MapKnobs) and knobs.model_fields["levels"].default == 1:
        found.append("It reads the deepest level, if no other is named.")
    return found


def words(method: str) -> Words:
    """The docstring of the method's file."""
    source = (ROOT / "kdcore" / "methods" / f"{method}.py").read_text(encoding="utf-8")
    doc = ast.get_docstring(ast.parse(source))
    assert doc, method
    text, departures, letters = [], "", ""
    *paragraphs, last = doc.split("\n\n")
    if LETTER.match(last):
        letters = _one_line(last)
    else:
        paragraphs.append(last)
    for paragraph in paragraphs:
        if paragraph.startswith("    "):
            text.append(f"```text\n{dedent(paragraph)}\n```")
            continue
        prose, found, rest = paragraph.partition(DEPARTURES)
        departures = _one_line(rest) if found else departures
        text.append(prose.strip().replace("*", "\\*"))
    return Words("\n\n".join(filter(None, text)), departures, letters)


def notes(method: str) -> str:
    """What the knobs' docstring says behind its first paragraph."""
    _, _, rest = (KNOBS[method].__doc__ or "").partition("\n\n")
    return "\n".join(line.strip() for line in rest.splitlines()).strip()


def own_knobs(method: str) -> list[Knob]:
    """The method's knobs, without those that every objective or every map method shares."""
    return [k for k in knobs_of(KNOBS[method]) if k.name not in COMMON]


def shared_knobs() -> list[Knob]:
    """The knobs that all objectives, and all that read maps, share."""
    return knobs_of(MapKnobs)


def knobs_of(knobs: type[Knobs]) -> list[Knob]:
    """A row for every field."""
    properties: dict[str, dict[str, Any]] = knobs.model_json_schema()["properties"]
    return [
        Knob(
            name,
            _code(schema.get("default")),
            _range(schema),
            str(schema.get("description", "")).replace("|", "\\|"),
        )
        for name, schema in properties.items()
        if name != "method"
    ]


def _summary(knobs: type[Knobs]) -> str:
    return (knobs.__doc__ or "").partition("\n\n")[0]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _range(schema: dict[str, Any]) -> str:
    options = [o for o in schema.get("anyOf", [schema]) if o.get("type") != "null"]
    text = ", ".join(filter(None, map(_bounds, options)))
    return f"{text}, or none" if len(options) < len(schema.get("anyOf", [])) else text


def _bounds(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return "a tap"
    if schema.get("type") == "array":
        return "taps"
    if {"minimum", "maximum"} <= schema.keys():
        low, high = _number(schema["minimum"]), _number(schema["maximum"])
        return low if low == high else f"{low} to {high}"
    signs = (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    )
    return ", ".join(f"{sign} {_number(schema[key])}" for key, sign in signs if key in schema)


def _code(value: Any) -> str:
    return "none" if value is None else f"`{_number(value)}`"


def _number(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

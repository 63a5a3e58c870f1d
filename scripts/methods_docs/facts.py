"""Facts from the code of a method: its docstring in parts, paper, knobs and needs."""

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
    """A method's docstring in parts: Markdown text, departures from the paper, letters."""

    text: str
    departures: str
    letters: str


@dataclass(frozen=True)
class Knob:
    """A row of a table of knobs; all fields but the name are Markdown."""

    name: str
    default: str
    range: str
    description: str


def reads(method: str) -> str:
    """The kind of output that the method reads: `labels`, `logits`, `maps` or `relations`."""
    if method == "hard_target":
        return "labels"
    return READS[KNOBS[method].__module__.rpartition(".")[2]]


def paper(method: str) -> tuple[str, str]:
    """Authors and year, from the knobs' docstring; empty without a paper."""
    found = PAPER.search(_summary(KNOBS[method]))
    return (found["authors"], found["year"]) if found else ("", "")


def needs(method: str) -> list[str]:
    """The method's needs, besides a teacher."""
    return [need for need in KNOBS[method].needs() if need != "a teacher"]


def habits(method: str) -> list[str]:
    """Sentences about how the method reads the networks."""
    kind, knobs = METHODS[KNOBS[method]], KNOBS[method]
    found = []
    if issubclass(kind, MapMethod) and kind.position == "before_relu":
        found.append("The default taps read before the ReLU.")
    if kind.teacher_batch_norm == "train":
        found.append("The teacher's batch norms always use the statistics of the batch.")
    if issubclass(knobs, MapKnobs) and knobs.model_fields["levels"].default == 1:
        found.append("By default it reads only the deepest level.")
    return found


def words(method: str) -> Words:
    """Split the docstring of the method's file."""
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
    """The knobs' docstring without its first paragraph."""
    _, _, rest = (KNOBS[method].__doc__ or "").partition("\n\n")
    return "\n".join(line.strip() for line in rest.splitlines()).strip()


def own_knobs(method: str) -> list[Knob]:
    """The method's own knobs, without those of all objectives or all map methods."""
    return [k for k in knobs_of(KNOBS[method]) if k.name not in COMMON]


def shared_knobs() -> list[Knob]:
    """The knobs of all objectives, and of all that read maps."""
    return knobs_of(MapKnobs)


def knobs_of(knobs: type[Knobs]) -> list[Knob]:
    """A row per field."""
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

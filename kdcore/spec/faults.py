"""What is wrong in a document: a code, a message and a JSON pointer to a place that is in it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdcore.spec.spec_codes import AnyRunCode, SpecCode

Path = Sequence[str | int]

ABSENT = frozenset({SpecCode.MISSING, SpecCode.TEACHER_NEEDED})  # their place may not be there yet
CODES = {
    "extra_forbidden": SpecCode.UNKNOWN_FIELD,
    "union_tag_not_found": SpecCode.MISSING,
    "literal_error": SpecCode.UNKNOWN_VALUE,
    "union_tag_invalid": SpecCode.UNKNOWN_VALUE,
    "value_error": SpecCode.INVALID_VALUE,
    **dict.fromkeys(
        ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"),
        SpecCode.OUT_OF_RANGE,
    ),
    **dict.fromkeys(
        ("too_short", "too_long", "string_too_short", "string_too_long"), SpecCode.WRONG_LENGTH
    ),
}
TYPES = ("_type", "_parsing", "_from_float")  # how pydantic's names for wrong types end
WORDS = {
    "missing": "this field is required",
    "union_tag_not_found": "this field is required",
    "extra_forbidden": "there is no such field",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `pointer` is relative to whatever was checked."""

    code: AnyRunCode
    message: str
    pointer: str = ""


def pointer_to(path: Path) -> str:
    """The JSON pointer (RFC 6901) of a path of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def syntax_fault(error: ValueError | RecursionError) -> Fault:
    """Why a text is not JSON, with line and column, from what `json.loads` raised."""
    match error:
        case json.JSONDecodeError():
            message = f"line {error.lineno}, column {error.colno}: {error.msg}"
        case UnicodeDecodeError():
            message = f"byte {error.start + 1} is not UTF-8"
        case RecursionError():
            message = "it is nested too deeply"
        case _:
            message = str(error)
    return Fault(SpecCode.BAD_JSON, message)


def faults_in(document: Any, errors: Sequence[Mapping[str, Any]]) -> list[Fault]:
    """Pydantic's errors about a document as faults, one for each wrong place.

    The errors of a union's members about one value are joined, and errors that only follow from
    others are left out.
    """
    found: dict[str, Fault] = {}
    for error in errors:
        fault = _fault(document, error)
        before = found.get(fault.pointer)
        if before is not None and before.message != fault.message:
            joined = f"{before.message}, or {fault.message}"
            fault = Fault(SpecCode.WRONG_TYPE, joined, fault.pointer)
        found[fault.pointer] = fault
    return _causes(list(found.values()))


def _causes(faults: list[Fault]) -> list[Fault]:
    """Without what follows from a fault further inside: a list whose items are all wrong is "too
    short", and a value that one member of a union takes for its own is of the wrong type for the
    others."""
    follow = (SpecCode.WRONG_LENGTH, SpecCode.WRONG_TYPE)
    return [
        fault
        for fault in faults
        if fault.code not in follow
        or not any(f.pointer.startswith(f"{fault.pointer}/") for f in faults)
    ]


def _fault(document: Any, error: Mapping[str, Any]) -> Fault:
    kind, context = error["type"], error.get("ctx", {})
    code = _code(kind)
    path = _path_in(document, error["loc"], keep_last=code in ABSENT)
    message = WORDS.get(kind, error["msg"].removeprefix("Value error, "))
    if kind.startswith("union_tag"):
        tag = str(context["discriminator"]).strip("'")
        if kind == "union_tag_invalid":
            expected = context["expected_tags"].replace("'", "")
            message = f"unknown {tag} `{context['tag']}`; known: {expected}"
            code = SpecCode.UNKNOWN_METHOD if tag == "method" else code
        path = [*path, tag]
    return Fault(code, message, pointer_to(path))


def _code(kind: str) -> SpecCode:
    own = SpecCode.__members__.get(kind.upper())
    if own is not None:
        return own
    return SpecCode.WRONG_TYPE if kind.endswith(TYPES) else CODES.get(kind, SpecCode.INVALID_VALUE)


def _path_in(document: Any, location: Path, *, keep_last: bool) -> list[str | int]:
    """The location without the names of union members, which are not in the document."""
    path: list[str | int] = []
    here: Any = document
    for index, part in enumerate(location):
        if _is_in(here, part):
            here = here[part]
        elif not (keep_last and index == len(location) - 1):
            continue
        path.append(part)
    return path


def _is_in(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value

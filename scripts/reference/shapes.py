"""Describes JSON Schemas of the OpenAPI document in Markdown: types, ranges, tables of fields."""

import json
from typing import Any

from scripts.markdown import cell, table

Schema = dict[str, Any]
PREFIX = "#/components/schemas/"
KNOBS, PAGE = "Knobs", "Page_"
OBJECTIVE = "an [objective](methods.md#all-methods)"
RANGES = (
    ("minimum", "≥ {}"),
    ("exclusiveMinimum", "> {}"),
    ("maximum", "≤ {}"),
    ("exclusiveMaximum", "< {}"),
    ("minLength", "{} characters or more"),
    ("maxLength", "at most {} characters"),
    ("minItems", "{} or more"),
    ("maxItems", "at most {}"),
)
LONGEST_DEFAULT = 50  # characters in a cell
STRINGS = {"date-time": "time", "binary": "bytes"}
PLAIN = {"integer": "integer", "number": "number", "string": "string", "boolean": "boolean"}


def is_listed(name: str) -> bool:
    """Whether a schema has a section; knobs have their own page, and pages are all alike."""
    return not name.endswith(KNOBS) and not name.startswith(PAGE)


def section(name: str, schema: Schema) -> str:
    """Format a schema's heading, description and fields."""
    blocks = [f"### `{name}`", _escaped(schema.get("description", ""))]
    if "enum" in schema:
        blocks.append(f"One of {_names(schema['enum'])}.")
    required = set(schema.get("required", ()))
    rows = [
        (f"`{field}`", kind(value), _default(value, field in required), _described(value))
        for field, value in schema.get("properties", {}).items()
    ]
    if rows:
        blocks.append(table(("field", "type", "default", "what it is"), rows))
    return "\n\n".join(filter(None, blocks))


def kind(schema: Schema) -> str:
    """Format a schema's type, with links to the schemas it refers to."""
    if "$ref" in schema:
        return _reference(schema["$ref"].removeprefix(PREFIX))
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        kinds = list(dict.fromkeys(map(kind, options)))
        return " or ".join(k for k in kinds if k != "null") + (" or null" * ("null" in kinds))
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _names(schema["enum"])
    if "allOf" in schema:
        return kind(schema["allOf"][0])
    return _typed(schema)


def parameter_range(schema: Schema) -> str:
    """Format the constraints of a value; empty if there are none besides its type."""
    options = [schema, *schema.get("anyOf", ())]
    found = [text.format(_number(o[key])) for o in options for key, text in RANGES if key in o]
    return ", ".join(found).replace("1 characters or more", "not empty")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _typed(schema: Schema) -> str:
    found = schema.get("type")
    if found == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(kind, schema['prefixItems']))}]"
        return f"list of {kind(schema.get('items', {}))}"
    if found == "object":
        values = schema.get("additionalProperties")
        return f"object of {kind(values)}" if isinstance(values, dict) else "object"
    if found == "string" and schema.get("format") in STRINGS:
        return STRINGS[schema["format"]]
    return PLAIN.get(str(found), "null" if found == "null" else "any")


def _reference(name: str) -> str:
    if name.endswith(KNOBS):
        return OBJECTIVE
    if name.startswith(PAGE):
        return f"page of {_reference(name.removeprefix(PAGE).rstrip('_'))}"
    return f"[`{name}`](#{name.lower()})"


def _default(schema: Schema, required: bool) -> str:
    if required and "default" not in schema:
        return "required"
    if "default" not in schema:
        return ""
    value = schema["default"]
    text = value if isinstance(value, str) else json.dumps(value)
    return cell(f"`{text}`") if len(text) <= LONGEST_DEFAULT else "see its type"


def _described(schema: Schema) -> str:
    text = _escaped(schema.get("description", ""))
    bounds = parameter_range(schema)
    return cell(f"{text} ({bounds})" if text and bounds else text or bounds)


def _names(values: list[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _escaped(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")

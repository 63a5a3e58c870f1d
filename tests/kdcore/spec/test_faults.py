"""Pydantic's errors become one fault for each wrong place, which is a place in the document."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from kdcore.spec.faults import Fault, faults_in, pointer_to, syntax_fault
from kdcore.spec.recipe import Recipe
from kdcore.spec.spec_codes import SpecCode


class Part(BaseModel):
    """A value with fields."""

    model_config = ConfigDict(extra="forbid")

    path: str
    size: Annotated[int, Field(ge=1)] = 1


class Document(BaseModel):
    """Every shape that a spec has."""

    model_config = ConfigDict(extra="forbid")

    either: str | Part = "x"
    scalar: bool | int | float | str = 1
    items: tuple[Part, ...] = Field((), max_length=1)
    pair: tuple[int, int] = (1, 2)
    word: Literal["one", "two"] = "one"


def faults(document: Any, kind: Any = Document) -> list[tuple[str, str]]:
    """Code and pointer of each."""
    return [(fault.code, fault.pointer) for fault in found(document, kind)]


def found(document: Any, kind: Any = Document) -> list[Fault]:
    """The faults of a document."""
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(document)
    return faults_in(document, caught.value.errors())


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"word": "three"}, [("unknown_value", "/word")]),
        ({"words": "one"}, [("unknown_field", "/words")]),
        ({"a/b~c": 1}, [("unknown_field", "/a~1b~0c")]),
        ({"pair": [1]}, [("missing", "/pair/1")]),
        ({"pair": [1, "x"]}, [("wrong_type", "/pair/1")]),
        ({"items": [{"path": "p", "size": 0}]}, [("out_of_range", "/items/0/size")]),
        ({"items": [{"path": "p"}, {"path": "q"}]}, [("wrong_length", "/items")]),
        ([1], [("wrong_type", "")]),
    ],
)
def test_one_fault_has_one_code_and_one_place(document: Any, expected: list[Any]) -> None:
    assert faults(document) == expected


def test_what_a_union_says_of_one_value_is_joined() -> None:
    (fault,) = found({"scalar": []})
    assert (fault.code, fault.pointer) == ("wrong_type", "/scalar")
    assert fault.message.count(", or ") == 3


def test_a_union_member_that_takes_the_value_for_its_own_speaks_alone() -> None:
    assert faults({"either": {"pth": "x"}}) == [
        ("missing", "/either/path"),
        ("unknown_field", "/either/pth"),
    ]
    assert faults({"either": 5}) == [("wrong_type", "/either")]


def test_a_list_of_wrong_items_is_not_too_short() -> None:
    document = {"stages": [{"epochs": 0, "objectives": [{"method": "kd", "temperature": -1}]}]}
    assert faults(document, Recipe) == [
        ("out_of_range", "/stages/0/epochs"),
        ("out_of_range", "/stages/0/objectives/0/temperature"),
    ]


def test_an_unknown_method_lists_the_known_ones() -> None:
    document = {"stages": [{"epochs": 1, "objectives": [{"method": "magic"}]}]}
    (fault,) = found(document, Recipe)
    assert (fault.code, fault.pointer) == ("unknown_method", "/stages/0/objectives/0/method")
    assert "`magic`; known: hard_target, kd" in fault.message
    untold = {"stages": [{"epochs": 1, "objectives": [{"weight": 1}]}]}
    assert faults(untold, Recipe) == [("missing", "/stages/0/objectives/0/method")]


def test_our_own_codes_stay_what_they_are() -> None:
    stages = [{"epochs": 1, "objectives": [{"method": "dkd"}]}]
    document = {"stages": stages, "data": {"augment": ["mixup"]}}
    assert faults(document, Recipe) == [("mixed_labels", "/data")]


def test_names_of_union_members_are_left_out_only_where_they_are_no_keys() -> None:
    error = {"type": "missing", "loc": ("a", "int"), "msg": "Field required"}
    assert faults_in({"a": {}}, [error])[0].pointer == "/a/int"
    assert faults_in({"a": {}}, [error | {"type": "int_type"}])[0].pointer == "/a"
    assert faults_in({"a": {"int": 1}}, [error | {"type": "int_type"}])[0].pointer == "/a/int"


def test_an_error_that_pydantic_may_add_has_a_code_too() -> None:
    error = {"type": "url_scheme", "loc": ("a",), "msg": "no"}
    assert faults_in({"a": 1}, [error])[0].code is SpecCode.INVALID_VALUE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1,\n "b" 2}', "line 2, column 6: Expecting ':' delimiter"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_syntax_fault_says_where(text: bytes, message: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        fault = syntax_fault(error)
    assert (fault.code, fault.message) == (SpecCode.BAD_JSON, message)


def test_a_pointer_of_nothing_is_the_whole_document() -> None:
    assert (pointer_to([]), pointer_to(["a", 0])) == ("", "/a/0")

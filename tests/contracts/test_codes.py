"""Every code of the catalogue is raised somewhere; that no other is, the types see to."""

import ast
from collections.abc import Iterator

from distillery.wire.codes import CATALOGUE
from distillery.wire.job_codes import WaitReason
from kdcore.spec.codes import ErrorCode
from tests.contracts.trees import name, parse, python_files

SOURCES = ("api", "distillery", "kdcore", "worker")
CATALOGUES = (
    "distillery/wire/job_codes.py",
    "distillery/wire/request_codes.py",
    "kdcore/spec/codes.py",
    "kdcore/spec/spec_codes.py",
)
KINDS = {type(code).__name__ for code in CATALOGUE.values()} | {WaitReason.__name__}


def _named() -> set[tuple[str, str]]:
    """Catalogue and member of every code that the code names."""
    return {
        (node.value.id, node.attr)
        for path in python_files(*SOURCES)
        if name(path) not in CATALOGUES
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in KINDS
    }


def _custom_codes() -> Iterator[tuple[str, ast.expr]]:
    """The codes that pydantic is given, which accepts any text."""
    for path in python_files(*SOURCES):
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id == "PydanticCustomError":
                yield name(path), node.args[0]
            for keyword in node.keywords:
                if keyword.arg == "custom_error_type":
                    yield name(path), keyword.value


def test_every_code_is_raised_somewhere() -> None:
    defined: list[ErrorCode | WaitReason] = [*CATALOGUE.values(), *WaitReason]
    wanted = {(type(code).__name__, code.name) for code in defined}
    assert sorted(wanted - _named()) == []


def test_what_pydantic_is_given_is_a_code() -> None:
    given = list(_custom_codes())
    assert given
    loose = [
        f"{path}:{code.lineno}"
        for path, code in given
        if not (isinstance(code, ast.Attribute) and ast.unparse(code).startswith("SpecCode."))
    ]
    assert loose == []

"""Files and functions stay small enough to read in one sitting."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.contracts.trees import name, parse, python_files

FILE_LINES = 300
TEST_FILE_LINES = 400
FUNCTION_LINES = 60
MEDIAN_FILE_LINES = 130


def _lines(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("\n")


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_file_is_too_long() -> None:
    limit = {True: TEST_FILE_LINES, False: FILE_LINES}
    long = [
        f"{name(path)}: {_lines(path)}"
        for path in python_files()
        if _lines(path) > limit[name(path).startswith("tests/")]
    ]
    assert long == []


def test_no_function_is_too_long() -> None:
    long = [
        f"{name(path)}:{function} {lines}"
        for path in python_files()
        for function, lines in _functions(path)
        if lines > FUNCTION_LINES
    ]
    assert long == []


def test_the_median_file_is_short() -> None:
    lengths = [_lines(path) for path in python_files() if _lines(path) > 0]
    assert median(lengths) <= MEDIAN_FILE_LINES

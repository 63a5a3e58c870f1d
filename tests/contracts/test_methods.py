"""One knob class = one method file = one test file, and the union holds every one of them."""

from typing import get_args

from kdcore.spec.methods import KNOBS, NEEDS_LABELS, NEEDS_SAME_CLASSES, NEEDS_TEACHER, Objective
from tests.contracts.trees import ROOT

METHODS = sorted(KNOBS)


def test_the_objective_union_is_the_table() -> None:
    union, _ = get_args(Objective)
    assert set(get_args(union)) == set(KNOBS.values())
    assert {knobs.model_fields["method"].default for knobs in KNOBS.values()} == set(KNOBS)


def test_every_method_has_its_file_and_its_test_file() -> None:
    files = {path.stem for path in (ROOT / "kdcore/methods").glob("*.py")} - {"__init__"}
    tests = {
        path.stem.removeprefix("test_")
        for path in (ROOT / "tests/kdcore/methods").glob("test_*.py")
    }
    assert sorted(files) == METHODS
    assert sorted(tests) == METHODS


def test_what_methods_need_names_known_methods() -> None:
    assert set(KNOBS) >= NEEDS_LABELS | NEEDS_TEACHER | NEEDS_SAME_CLASSES


def test_every_knob_has_a_default_and_a_docstring() -> None:
    for method, knobs in KNOBS.items():
        assert knobs.__doc__, method
        required = [key for key, field in knobs.model_fields.items() if field.is_required()]
        assert required == [], method

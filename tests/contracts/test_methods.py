"""One knob class = one method file = one test file, and the union holds every one of them."""

from kdcore.spec.methods import KNOBS
from tests.contracts.trees import ROOT

METHODS = sorted(KNOBS)


def test_every_method_has_its_file_and_its_test_file() -> None:
    files = {path.stem for path in (ROOT / "kdcore/methods").glob("*.py")} - {"__init__"}
    tests = {
        path.stem.removeprefix("test_")
        for path in (ROOT / "tests/kdcore/methods").glob("test_*.py")
    }
    assert sorted(files) == METHODS
    assert sorted(tests) == METHODS


def test_every_knob_has_a_default_and_a_docstring() -> None:
    for method, knobs in KNOBS.items():
        assert knobs.__doc__, method
        required = [key for key, field in knobs.model_fields.items() if field.is_required()]
        assert required == [], method

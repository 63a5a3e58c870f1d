"""Set-up installs exact versions that work on every Python that the project supports."""

import re
from importlib import metadata

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.contracts.trees import ROOT

PINS = dict(
    re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
)
OLDEST = "3.11.0"  # `requires-python` is >=3.11; some systems have a release as early as 3.11.2


def test_the_oldest_python_is_the_one_that_the_project_names() -> None:
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", sorted(PINS))
def test_a_pinned_version_supports_the_oldest_python(name: str) -> None:
    wanted = metadata.distribution(canonicalize_name(name)).metadata["Requires-Python"]
    assert wanted is None or SpecifierSet(wanted).contains(OLDEST), f"{name} needs {wanted}"

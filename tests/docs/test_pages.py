"""The code blocks on the pages run, in order, against a real service."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, ROOT, RUN, blocks_of
from tests.docs.play import play
from tests.e2e.service import QUICK, Service

README = ROOT / "README.md"
PAGES = {
    "README": README,
    "recipes": ROOT / "recipes" / "README.md",
    **{page.stem: page for page in sorted(DOCS.glob("*.md"))},
}
# The README's blocks are also in the quickstart, see below.
PLAYED = [
    name
    for name, page in PAGES.items()
    if page != README and any(block.is_run for block in blocks_of(page))
]
NEED_A_SERVICE = ("quickstart", "teachers", "datasets", "sdk")
NEED_THE_SOURCES = {"adding-a-method"}
SOURCES = ("kdcore", "tests/__init__.py", "tests/kdcore", "tests/contracts", "pyproject.toml")
# The blocks that the suite does not run, by their first characters.
NOT_RUN = {
    ("README", "make demo"),
    ("README", "source .venv/bin/activate"),
    ("README", "python3.11 -m venv .venv"),
    ("quickstart", "make setup"),
    ("quickstart", "pip install 'distillery-kd[all]'"),
    ("quickstart", "python3.11 -m venv .venv"),
    ("quickstart", "kd up"),
    ("teachers", "kd models push resnet34.pth"),
    ("sdk", "pip install distillery-kd"),
    ("sdk", 'photos = client.datasets.push("photos/"'),
    ("sdk", 'teacher = client.models.push(\n    "resnet50.pth"'),
    ("operations", "make faults RUNS=200"),
    ("recipes", "kd datasets push cifar100.npz"),
    ("recipes", "kd jobs submit recipes/cifar100/dkd"),
    ("recipes", "kd models push resnet34.pth"),
}


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One service for all pages."""
    with Service(tmp_path_factory.mktemp("docs") / "home") as service:
        yield service.client.url


@pytest.mark.e2e
@pytest.mark.parametrize("name", NEED_A_SERVICE)
def test_a_page_runs_against_a_service(name: str, service_url: str, tmp_path: Path) -> None:
    _play(name, tmp_path, service_url)


@pytest.mark.e2e
@pytest.mark.parametrize("name", sorted(set(PLAYED) - set(NEED_A_SERVICE)))
def test_a_page_runs_by_itself(name: str, tmp_path: Path) -> None:
    if name in NEED_THE_SOURCES:
        _copy_sources(tmp_path)
    _play(name, tmp_path, "")


def _play(name: str, folder: Path, url: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **QUICK, "PATH": path, "COLUMNS": "120", "KD_URL": url}
    play(PAGES[name].name, blocks_of(PAGES[name]), folder, environment, url)


def test_every_block_has_a_known_language() -> None:
    """`text` is for output, test_json.py checks `json`; the rest is run or marked as not run."""
    others = {b.language for page in PAGES.values() for b in blocks_of(page)} - RUN
    assert others <= {"json", "text"}


def test_the_blocks_that_are_not_run_are_known() -> None:
    found = [
        (name, block.code)
        for name, page in PAGES.items()
        for block in blocks_of(page)
        if block.not_run is not None
    ]
    assert len(found) == len(NOT_RUN)
    for page, begins in NOT_RUN:
        assert [code for name, code in found if name == page and code.startswith(begins)], begins


def test_the_readme_shows_blocks_of_the_quickstart() -> None:
    """Running the quickstart runs them, in the same order."""
    shown = [block.code for block in blocks_of(README) if block.is_run]
    run = [block.code for block in blocks_of(PAGES["quickstart"]) if block.is_run]
    assert shown and [code for code in run if code in shown] == shown


def _copy_sources(folder: Path) -> None:
    """Copy the sources that a page about extending the library changes."""
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)

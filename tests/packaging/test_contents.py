"""Wheel and source archive contain two packages, each file once, with all that they need."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.contracts.trees import ROOT
from tests.packaging.conftest import VERSION, Distribution

pytestmark = pytest.mark.dashboard
PACKAGES = ("distillery", "kdcore")


def _in_checkout() -> set[str]:
    """All files of the packages, following links."""
    return {
        (Path(folder) / file).relative_to(ROOT).as_posix()
        for package in PACKAGES
        for folder, _, files in os.walk(ROOT / package, followlinks=True)
        for file in files
        if "__pycache__" not in folder
    }


@pytest.fixture(scope="module")
def wheel(distribution: Distribution) -> zipfile.ZipFile:
    return zipfile.ZipFile(distribution.wheel)


def test_the_wheel_holds_each_file_of_the_packages_once_and_no_other(
    wheel: zipfile.ZipFile,
) -> None:
    names = wheel.namelist()
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names} == {*PACKAGES, _dist_info(wheel)}
    modules = {name for name in names if not name.startswith(_dist_info(wheel))}
    assert modules == _in_checkout()


def test_the_wheel_has_dashboard_migrations_types_and_licence(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {
        "distillery/py.typed",
        "kdcore/py.typed",
        "distillery/migrations/env.py",
        "distillery/migrations/script.py.mako",
        "distillery/web/index.html",
        f"{_dist_info(wheel)}/licenses/LICENSE",
    } <= names
    assert any(name.startswith("distillery/migrations/versions/0") for name in names)
    page = wheel.read("distillery/web/index.html").decode()
    scripts = [name for name in names if name.startswith("distillery/web/assets/")]
    assert scripts and all(name.removeprefix("distillery/web") in page for name in scripts)
    licence = wheel.read(f"{_dist_info(wheel)}/licenses/LICENSE").decode()
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence


def test_the_source_archive_holds_the_same_files_as_files(distribution: Distribution) -> None:
    with tarfile.open(distribution.sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}
    assert all(member.isfile() or member.isdir() for member in members.values())
    files = {name for name, member in members.items() if member.isfile()}
    assert {name for name in files if name.split("/")[0] in PACKAGES} == _in_checkout()
    around = {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    tops = {name.split("/")[0] for name in files}
    assert tops == {*PACKAGES, *around, "distillery_kd.egg-info"}


def test_the_version_stands_in_one_place() -> None:
    sources = [ROOT / name for name in _in_checkout() if name.endswith(".py")]
    assert [str(path) for path in sources if f'"{VERSION}"' in path.read_text()] == []
    assert '"version"' not in (ROOT / "web" / "package.json").read_text()


def _dist_info(wheel: zipfile.ZipFile) -> str:
    (name,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    return name

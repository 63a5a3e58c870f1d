"""Fixtures: the wheel and source archive, built once per run, and environments with them."""

import fcntl
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contracts.trees import ROOT
from tests.packaging.venv import Environment

PARTS = ("api", "distillery", "kdcore", "migrations", "worker")
FILES = ("LICENSE", "README.md", "pyproject.toml")
VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


@dataclass(frozen=True)
class Distribution:
    """The files that `make dist` builds."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """Build the archive from a copy of the checkout, and the wheel from the archive."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_TESTRUNUID" in os.environ:
        folder = folder.parent  # shared by the workers of one run
    with (folder / "distribution.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "dist").exists():
            _build(folder / "checkout", folder / "dist")
    (wheel,), (sdist,) = ((folder / "dist").glob(f"*.{kind}") for kind in ("whl", "tar.gz"))
    return Distribution(wheel, sdist)


@pytest.fixture(scope="session")
def bare(distribution: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment after `pip install distillery-kd`."""
    return Environment(tmp_path_factory.mktemp("bare"), distribution.wheel)


@pytest.fixture
def complete(distribution: Distribution, tmp_path: Path) -> Environment:
    """An environment after `pip install 'distillery-kd[all]'`."""
    return Environment(tmp_path, distribution.wheel, "all")


def _build(copy: Path, target: Path) -> None:
    built = ROOT / "distillery" / "web" / "index.html"
    assert built.exists(), "the wheel carries the dashboard: run `make web`, which needs Node"
    ignored = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        shutil.copytree(ROOT / part, copy / part, symlinks=True, ignore=ignored)
    for file in FILES:
        shutil.copy2(ROOT / file, copy / file)
    made = target.with_suffix(".part")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), str(copy)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made.rename(target)

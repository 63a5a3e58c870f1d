"""`pip install distillery-kd` alone: command line and SDK work; the rest names missing extras."""

import json

import pytest

from tests.packaging.conftest import VERSION
from tests.packaging.venv import Environment

pytestmark = [pytest.mark.e2e, pytest.mark.dashboard]
# Folders of the checkout and of the package that must not be top-level packages.
FOLDERS = ("api", "bench", "broker", "cli", "local", "migrations", "scripts", "sdk", "store")
MORE = ("telemetry", "tests", "web", "wire", "worker")


def test_it_is_imported_from_the_environment_under_two_names(bare: Environment) -> None:
    code = f"""
import importlib.util, json, sys
import distillery, kdcore
from distillery import Client
names = [name for name in {FOLDERS + MORE!r} if importlib.util.find_spec(name)]
print(json.dumps([distillery.__file__, kdcore.__file__, names]))
"""
    done = bare.run(bare.python, "-c", code)
    assert done.returncode == 0, done.stderr
    *files, names = json.loads(done.stdout)
    assert names == []
    assert all(file.startswith(str(bare.folder)) for file in files), files


def test_the_command_line_works(bare: Environment) -> None:
    assert bare.run(bare.kd, "--version").stdout == f"kd {VERSION}\n"
    usage = bare.run(bare.kd, "--help")
    assert usage.returncode == 0 and "datasets" in usage.stdout
    asked = bare.run(bare.kd, "jobs", "list", "--url", "http://127.0.0.1:1")
    assert asked.returncode == 3 and "Cannot reach a service" in asked.stderr


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("all", ["kd", "up"]),
        ("all", ["kd", "demo"]),
        ("train", ["kd", "run", "spec.json", "--out", "out"]),
        ("train", ["python", "-m", "kdcore", "run", "."]),
        ("train", ["python", "-m", "kdcore", "validate", "."]),
        ("train", ["python", "-m", "kdcore", "warm"]),
        ("server", ["python", "-m", "distillery.api"]),
        ("server", ["python", "-m", "distillery.worker", "jobs"]),
        ("server", ["python", "-m", "distillery.worker", "reaper"]),
        ("server", ["python", "-m", "distillery.store", "migrate"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_needs_more_names_the_extra(bare: Environment, extra: str, command: list[str]) -> None:
    (bare.home / "spec.json").write_text("{}")
    done = bare.run(bare.folder / "bin" / command[0], *command[1:])
    assert done.returncode == 2
    assert "needs packages that are not installed" in done.stderr
    assert f"pip install 'distillery-kd[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout

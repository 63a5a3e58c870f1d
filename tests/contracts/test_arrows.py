"""Imports point in one direction, and torch and Celery are imported only where allowed."""

import subprocess
import sys
from pathlib import Path

from tests.contracts.trees import ROOT, imports, name, python_files


def test_import_linter_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_celery_is_imported_in_notifier_and_worker_tasks_alone() -> None:
    others = [
        name(path)
        for path in python_files("api", "distillery", "kdcore", "migrations", "worker")
        if imports(path) & {"celery", "kombu"}
        and name(path) != "worker/tasks.py"
        and not name(path).startswith("distillery/broker/")
    ]
    assert others == []


def test_starting_the_api_leaves_torch_out_of_the_process() -> None:
    code = "import sys, distillery.api.main; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_kdcore_init_imports_nothing() -> None:
    assert imports(ROOT / "kdcore/__init__.py") == set()

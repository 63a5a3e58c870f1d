"""Each extra installs all that its programs need, without the other extras."""

from pathlib import Path

import pytest

from tests.packaging.conftest import Distribution
from tests.packaging.venv import Environment

pytestmark = [pytest.mark.e2e, pytest.mark.dashboard]


def test_server_brings_api_store_and_reaper_but_no_training(
    distribution: Distribution, tmp_path: Path
) -> None:
    server = Environment(tmp_path, distribution.wheel, "server")
    migrated = server.run(server.python, "-m", "distillery.store", "migrate")
    assert migrated.returncode == 0, migrated.stderr
    imported = server.run(
        server.python, "-c", "import distillery.api.server, distillery.worker.__main__"
    )
    assert imported.returncode == 0, imported.stderr
    worker = server.run(server.python, "-m", "distillery.worker", "jobs")
    assert worker.returncode == 2 and "'distillery-kd[train]'" in worker.stderr


def test_notebook_brings_what_the_sdk_needs_for_arrays_modules_and_frames(
    distribution: Distribution, tmp_path: Path
) -> None:
    notebook = Environment(tmp_path, distribution.wheel, "notebook")
    code = """
from distillery.sdk.folder import npz_file
from distillery.sdk.views import Metrics
from distillery.sdk.weights import weights_file
print(Metrics(series=[]).to_frame().empty)
with npz_file({"x_train": [[1]]}) as path:
    print(path.exists())
with weights_file({"w": [1.0]}) as path:
    print(path.exists())
"""
    done = notebook.run(notebook.python, "-c", code)
    assert (done.returncode, done.stdout.split()) == (0, ["True"] * 3), done.stderr


def test_train_brings_runs_but_no_service(distribution: Distribution, tmp_path: Path) -> None:
    train = Environment(tmp_path, distribution.wheel, "train")
    ready = train.run(train.python, "-m", "kdcore", "warm")  # imports all that a run needs
    assert (ready.returncode, ready.stdout) == (0, "ready\n"), ready.stderr
    service = train.run(train.kd, "up")
    assert service.returncode == 2 and "'distillery-kd[server]'" in service.stderr

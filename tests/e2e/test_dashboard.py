"""The dashboard in Chromium, with a real service and running jobs."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from distillery.sdk.client import Client
from tests.e2e.pictures import distilling, training, write_pictures
from tests.e2e.service import Service, finish, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.browser]
PROJECT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ENDLESS = 1000  # epochs: the job is watched for a while, then cancelled
SHORT = 8


def test_jobs_are_watched_in_a_browser(tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser, "Chromium is missing: run scripts/install-chromium"
    assert shutil.which("npm"), "npm is missing: install Node 20.19 or newer, https://nodejs.org"
    subprocess.run([PROJECT / "scripts" / "build-web"], check=True)

    with Service(tmp_path / "home") as service:
        client = service.client
        file = write_pictures(tmp_path / "pictures.npz")
        dataset = client.datasets.push(file)
        teacher = finish(client, client.jobs.submit(training(dataset.id))).student_model
        assert teacher is not None
        for name, epochs in (("endless", ENDLESS), ("short", SHORT)):
            job = client.jobs.submit(distilling(dataset.id, teacher, epochs=epochs, name=name)).id
            client.jobs.get(job).pause()  # the browser resumes it
            is_paused = partial(_is, client, job, "paused")
            wait_until(is_paused, 60, "it is paused")

        url = f"http://127.0.0.1:{service.port}"
        watched = subprocess.run(
            ["npm", "run", "--silent", "e2e"],
            cwd=PROJECT / "web",
            env={**os.environ, "KD_URL": url, "KD_CHROMIUM": browser, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert watched.returncode == 0, watched.stdout + watched.stderr


def _is(client: Client, job: str, state: str) -> bool:
    return client.jobs.get(job).state == state

"""`kd up`: one per home; Ctrl-C during a job loses nothing; kill -9 leaves no process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from distillery.sdk.client import Client
from distillery.sdk.config import child_environment
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import QUICK, finish, lives, wait_until

pytestmark = pytest.mark.e2e


class Up:
    """Runs `kd up` on a home."""

    def __init__(self, home: Path):
        self._url_file = home.parent / "url"
        self._url_file.unlink(missing_ok=True)
        environment = child_environment(**QUICK)
        where = ["--home", str(home), "--port", "0", "--url-file", str(self._url_file)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "distillery.cli.main", "up", *where],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def url(self) -> str:
        """Wait until it is ready; returns its URL."""
        wait_until(lambda: self._url_file.exists() or self.process.poll() is not None, 60, "ready")
        assert self.process.poll() is None, self.output()
        return self._url_file.read_text().strip()

    def output(self) -> str:
        """All of its output; it must have ended."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def stop(self, number: signal.Signals = signal.SIGINT) -> str:
        """Stop it as a user does; returns its output."""
        self.process.send_signal(number)
        self.process.wait(60)
        return self.output()


@contextmanager
def up(home: Path) -> Iterator[Up]:
    started = Up(home)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.stop()


def test_ctrl_c_during_a_job_loses_nothing(tmp_path: Path) -> None:
    with up(tmp_path / "home") as first:
        client = Client(first.url())
        file = write_pictures(tmp_path / "pictures.npz")
        dataset = client.datasets.push(file)
        job = client.jobs.submit(training(dataset.id, epochs=60, checkpoint_every_s=1000))
        wait_until(lambda: (p := client.jobs.get(job.id).progress) and p.step > 5, 60, "steps")
        client.close()
        output = first.stop()
        assert first.process.returncode == 0, output
        assert "Stopped." in output and "Traceback" not in output
    with up(tmp_path / "home") as second:
        client = Client(second.url())
        done = finish(client, job)
        assert done.state == "succeeded", done.error
        assert done.attempt == 2
        assert done.result is not None and done.result.resumes == 1
        moves = [str(move.target) for move in client.jobs.get(job.id).transitions()]
        assert moves == ["queued", "running", "queued", "running", "succeeded"]
        client.close()


def test_there_is_one_per_home_a_child_that_dies_is_restarted_and_there_is_no_orphan(
    tmp_path: Path,
) -> None:
    with up(tmp_path / "home") as first:
        url = first.url()
        second = Up(tmp_path / "home")
        assert second.process.wait(30) == 1
        output = second.output()
        assert "already runs" in output and url in output and "Traceback" not in output

        with Client(url) as client:
            assert client.ready().ok
            api = _child(first, "distillery.api")
            api.kill()
            wait_until(lambda: not lives(api), 5, "the API is gone")
            assert client.ready().ok  # retried until it is back

        children = psutil.Process(first.process.pid).children(recursive=True)
        assert len(children) >= 3
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        wait_until(lambda: not any(map(lives, children)), 15, "the children are gone")
        assert "The api exited (signal 9)" in first.output()


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    started_s = time.monotonic()
    home = tmp_path / "home"
    home.mkdir()
    (home / "distillery.sqlite").write_bytes(b"not a database" * 100)
    broken = Up(home)
    assert broken.process.wait(60) == 1
    output = broken.output()
    assert "Last log lines" in output and "migrate.log" in output
    assert time.monotonic() - started_s < 30


def _child(started: Up, word: str) -> psutil.Process:
    children = psutil.Process(started.process.pid).children()
    return next(child for child in children if child.cmdline()[-1] == word)

"""Child processes log to a file and do not outlive a parent killed by SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from distillery.local import process as child_module
from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment

SLEEPER = "import time; print('started', flush=True); time.sleep(60)"
TALKER = """
import itertools, time
for n in itertools.count():
    print("line", n, flush=True)
    time.sleep(0.01)
"""
PARENT = f"""
import sys, time
from pathlib import Path
from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment
child = ChildProcess("c", ["-c", {SLEEPER!r}], Path(sys.argv[1]), environment=child_environment())
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def _child(tmp_path: Path, code: str) -> ChildProcess:
    return ChildProcess("c", ["-c", code], tmp_path / "c.log", environment=child_environment())


def _gone(pid: int, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_output_is_logged_and_read_line_by_line(tmp_path: Path) -> None:
    child = _child(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); exit(3)")
    child.start()
    assert child.wait(20) == 3
    assert sorted(child.new_lines()) == ["one", "two"]
    assert child.new_lines() == []
    assert sorted(child.last_lines(5)) == ["one", "two"]


def test_a_restart_appends_to_the_log_and_only_new_lines_are_read(tmp_path: Path) -> None:
    child = _child(tmp_path, "print('hello')")
    for _ in range(2):
        child.start()
        child.wait(20)
        assert child.new_lines() == ["hello"]
    assert child.log.read_text() == "hello\nhello\n"


def test_a_long_log_is_rotated_while_the_child_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT_BYTES", 200)
    child = _child(tmp_path, TALKER)
    child.start()
    seen: list[str] = []
    rotated = tmp_path / "c.old.log"
    deadline_s = time.monotonic() + 30
    while not (rotated.exists() and child.log.stat().st_size) and time.monotonic() < deadline_s:
        seen += child.new_lines()
        child.rotate_log()
        time.sleep(0.01)
    child.kill()
    assert rotated.read_text().startswith("line 0\n")
    assert child.log.read_bytes().startswith(b"line "), "no hole where the old lines were"
    after = child.new_lines()
    assert after and after[0] not in seen, "no line is read twice"


def test_a_log_that_cannot_be_rotated_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT_BYTES", 3)
    child = _child(tmp_path, "print('hello')")
    (tmp_path / "c.part.log").mkdir()  # the copy cannot be written
    child.start()
    child.wait(20)
    child.rotate_log()
    assert child.log.read_text() == "hello\n"
    assert child.new_lines() == ["hello"]


def test_terminate_and_kill_stop_the_child(tmp_path: Path) -> None:
    child = _child(tmp_path, SLEEPER)
    child.start()
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM
    child.start()
    child.kill()
    assert child.poll() == -signal.SIGKILL


def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "c.log")],
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    while "started" not in ((tmp_path / "c.log").read_text() if parent.poll() is None else "x"):
        time.sleep(0.05)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert _gone(pid, within_s=2)

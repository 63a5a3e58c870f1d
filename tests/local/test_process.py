"""Children keep a log, and do not outlive a parent that was killed with -9."""

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


def test_output_goes_to_the_log_and_is_read_line_by_line(tmp_path: Path) -> None:
    child = _child(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); exit(3)")
    child.start()
    assert child.wait(20) == 3
    assert sorted(child.new_lines()) == ["one", "two"]
    assert child.new_lines() == []
    assert sorted(child.last_lines(5)) == ["one", "two"]


def test_a_restart_appends_to_the_log_and_reads_only_what_is_new(tmp_path: Path) -> None:
    child = _child(tmp_path, "print('hello')")
    for _ in range(2):
        child.start()
        child.wait(20)
        assert child.new_lines() == ["hello"]
    assert child.log.read_text() == "hello\nhello\n"


def test_a_long_log_is_put_aside_while_the_child_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT", 200)
    child = _child(tmp_path, TALKER)
    child.start()
    heard: list[str] = []
    aside = tmp_path / "c.old.log"
    deadline_s = time.monotonic() + 30
    while not (aside.exists() and child.log.stat().st_size) and time.monotonic() < deadline_s:
        heard += child.new_lines()
        child.bound_log()
        time.sleep(0.01)
    child.kill()
    assert aside.read_text().startswith("line 0\n")
    assert child.log.read_bytes().startswith(b"line "), "no hole where the old lines were"
    after = child.new_lines()
    assert after and after[0] not in heard, "what was read is not read again"


def test_a_log_that_cannot_be_put_aside_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT", 3)
    child = _child(tmp_path, "print('hello')")
    (tmp_path / "c.part.log").mkdir()  # in the way
    child.start()
    child.wait(20)
    child.bound_log()
    assert child.log.read_text() == "hello\n"
    assert child.new_lines() == ["hello"]


def test_terminate_and_kill_end_it(tmp_path: Path) -> None:
    child = _child(tmp_path, SLEEPER)
    child.start()
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM
    child.start()
    child.kill()
    assert child.poll() == -signal.SIGKILL


def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
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

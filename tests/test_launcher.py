"""The launcher: a child dies with its parent, and a sandboxed run cannot gain privileges."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from distillery.launcher import ORPHANED, launch_command
from distillery.worker.runner import Run

PROBE = """
import json, os, resource, sys
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
open(sys.argv[2] + "/seen", "w").write(json.dumps({
    "privileges": status["NoNewPrivs"].strip(), "session": os.getsid(0) == os.getpid(),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "files": sorted(os.listdir("/proc/self/fd")),
    "path": sys.path, "umask": os.umask(0)}))
"""
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[2] + "/seen", "w").write(str(child.pid))
time.sleep({0})
"""


def start(tmp_path: Path, code: str) -> Run:
    return Run(tmp_path, (sys.executable, "-P", "-c", code), {})


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_sandboxed_run_has_its_own_session_and_no_new_privileges(tmp_path: Path) -> None:
    assert start(tmp_path, PROBE).wait(30) == 0, (tmp_path / "run.log").read_text()
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["privileges"] == "1"
    assert seen["session"]
    assert seen["core"] == [0, 0]
    assert seen["umask"] == 0o077
    assert len(seen["files"]) == 5, "standard streams, the file and the listing themselves"
    assert "" not in seen["path"] and str(tmp_path) not in seen["path"]


def test_a_child_outside_the_sandbox_keeps_its_limits() -> None:
    code = "import os, resource as r; print(os.umask(0), r.getrlimit(r.RLIMIT_NOFILE))"
    plain = [sys.executable, "-c", code]
    seen = [
        subprocess.run(command, capture_output=True, check=True).stdout
        for command in (plain, launch_command(plain, signal.SIGTERM))
    ]
    assert seen[0] == seen[1] != b""


def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    command = launch_command([sys.executable, "-c", "print('started')"], signal.SIGKILL)
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (ORPHANED, b"")


def test_killing_a_run_kills_all_its_descendants(tmp_path: Path) -> None:
    run = start(tmp_path, FAMILY.format(60))
    while not (tmp_path / "seen").exists() or not (tmp_path / "seen").read_text():
        time.sleep(0.02)
    run.kill()
    assert run.poll() == -9
    time.sleep(0.1)
    assert not is_alive(int((tmp_path / "seen").read_text()))


def test_descendants_that_outlive_a_run_are_killed(tmp_path: Path) -> None:
    assert start(tmp_path, FAMILY.format(0)).wait(30) == 0
    time.sleep(0.1)
    assert not is_alive(int((tmp_path / "seen").read_text()))

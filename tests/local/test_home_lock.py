"""One service per home: a second one is refused until the first has exited."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distillery.local.home_lock import HomeLock
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError
from distillery.sdk.running import running_url

HOLDER = """
import sys, time
from pathlib import Path
from distillery.local.home_lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.write_holder("http://127.0.0.1:1")
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_service_is_refused_with_the_url_of_the_first(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    try:
        assert running_url(tmp_path) == "http://127.0.0.1:1"
        with pytest.raises(ClientError, match=f"process {holder.pid}, http://127.0.0.1:1"):
            HomeLock(tmp_path)
    finally:
        holder.kill()
        holder.wait()
    assert running_url(tmp_path) is None
    with HomeLock(tmp_path) as lock:
        lock.write_holder("http://127.0.0.1:2")
        assert running_url(tmp_path) == "http://127.0.0.1:2"


def test_children_of_a_killed_service_are_waited_for(tmp_path: Path) -> None:
    """The children hold the lock too: the next service starts once they have checkpointed."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    first = HomeLock(tmp_path)
    os.pwrite(first.fd, b'{"pid": %d, "url": ""}   ' % dead.pid, 0)
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(1)"], pass_fds=(first.fd,)
    )
    first.release()
    began_s = time.monotonic()
    with HomeLock(tmp_path):
        assert child.wait(timeout=5) == 0
        assert time.monotonic() - began_s > 0.5

"""Failpoints: nothing happens unless one is armed, then exactly once, and never by chance."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from distillery.store.config import StoreSettings
from distillery.worker.config import INHERITED
from kdcore.spec import failpoints
from kdcore.spec.failpoints import PLACES, REACHED, failpoint
from tests.contracts.trees import ROOT, python_files

CHILD = """
import signal, sys
from kdcore.spec.failpoints import arm, failpoint
received = []
signal.signal(signal.SIGTERM, lambda *_: received.append("SIGTERM"))
arm(sys.argv[1])
for number in range(3):
    failpoint("step.made")
    print(number, *received, flush=True)
"""


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def child(text: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, text]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_nothing_happens_unless_armed() -> None:
    for place in PLACES:
        failpoint(place)
    failpoints.arm("step.made:error@2,claim.committed:error")
    failpoint("step.made")
    failpoint("notification.sent")
    with pytest.raises(OSError, match=r"step\.made"):
        failpoint("step.made")
    failpoint("step.made")
    with pytest.raises(OSError, match=r"claim\.committed"):
        failpoint("claim.committed")


def test_kill_is_kill_9_at_the_nth_passage() -> None:
    with child("step.made@2") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (-signal.SIGKILL, "0\n")
    assert err.splitlines()[1:] == [f"{REACHED} step.made"]


def test_hold_waits_for_a_signal_that_is_handled() -> None:
    with child("step.made:hold@2") as process:
        assert process.stderr is not None
        assert "on purpose" in process.stderr.readline()
        assert process.stderr.readline() == f"{REACHED} step.made\n"
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate()
    assert (process.returncode, out) == (0, "0\n1 SIGTERM\n2 SIGTERM\n")


@pytest.mark.parametrize("text", ["", "nowhere", "step.made:explode", "step.made@0", "step.made,"])
def test_an_unknown_failpoint_is_refused_at_start(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KD_FAILPOINT", text)
    with pytest.raises(ValidationError, match="is not a failpoint"):
        StoreSettings()


def test_a_run_never_inherits_it() -> None:
    """Only a worker's command line arms failpoints of a run, and only if the worker has one."""
    assert not [name for name in INHERITED if name.startswith("KD_")]


def test_every_place_is_in_the_code_once() -> None:
    found = [
        place
        for path in python_files("api", "distillery", "kdcore", "worker")
        for place in re.findall(r'\bfailpoint\("([a-z.]+)"\)', Path(path).read_text())
        if path.name != "failpoints.py"
    ]
    assert sorted(found) == sorted(PLACES)

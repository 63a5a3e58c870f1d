"""A warm run that waited for its directory equals a cold run, bit for bit."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore.runs.warm import train_once
from kdcore.spec.codes import Exit
from tests.kdcore.runs.test_run import LONG, _wait_for, _weights
from tests.kdcore.tiny import events_of, make_folder, result_of

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that waits in `tmp_path`; its stderr goes to the file `log` there."""
    started = []

    def start_one(*flags: str) -> "subprocess.Popen[str]":
        with (tmp_path / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *flags, "-m", "kdcore", "warm"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
                cwd=tmp_path,
            )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def wait_for_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def send(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def run_cold(folder: Path) -> None:
    command = [sys.executable, "-m", "kdcore", "run", str(folder)]
    assert subprocess.run(command, check=False).returncode == Exit.OK


def test_a_run_that_waited_gives_the_bits_of_a_cold_one_also_when_killed_and_resumed(
    tmp_path: Path, start: Start
) -> None:
    control = make_folder(tmp_path / "control", stages=LONG)
    run_cold(control)
    folder = make_folder(tmp_path / "broken", stages=LONG, checkpoint_every_s=0)
    killed = start()
    wait_for_ready(killed)
    send(killed, f"{folder}\n")
    _wait_for(folder, lambda saved: any(e["step"] > 6 for e in saved))
    killed.kill()
    assert killed.wait(10) == -signal.SIGKILL
    resumed = start()
    wait_for_ready(resumed)
    send(resumed, f"{folder}\n")
    assert resumed.wait(120) == Exit.OK
    result = result_of(folder)
    assert result["resumes"] == 1 and result["bit_exact"]
    assert _weights(folder) == _weights(control)


def test_a_warm_run_has_imported_torch_before_its_directory_comes(
    tmp_path: Path, start: Start
) -> None:
    """With two threads, which give other bits."""
    control = make_folder(tmp_path / "control", threads=2)
    run_cold(control)
    waiting = start("-X", "importtime")
    wait_for_ready(waiting)
    before = (tmp_path / "log").stat().st_size
    folder = make_folder(tmp_path / "job", threads=2)
    send(waiting, f"{folder}\n")
    assert waiting.wait(120) == Exit.OK
    log = (tmp_path / "log").read_bytes()
    modules = [line.rpartition(b"|")[2].strip() for line in log.splitlines()]
    late = [line.rpartition(b"|")[2].strip() for line in log[before:].splitlines()]
    wanted = {b"torch", b"torch._dynamo", b"timm.models", b"kdcore.runs.distill"}
    assert wanted <= set(modules)
    assert not [name for name in late if name.split(b".")[0] in {b"torch", b"timm", b"kdcore"}]
    assert _weights(folder) == _weights(control)


def test_a_line_that_comes_early_is_used_and_failures_keep_their_exit_code(
    tmp_path: Path, start: Start
) -> None:
    folder = make_folder(tmp_path / "job")
    (folder / "spec.json").write_text("{}")
    busy = start()
    send(busy, f"{folder}\n")
    assert busy.wait(120) == Exit.BAD_SPEC
    assert events_of(folder)[-1]["code"] == "missing"


@pytest.mark.parametrize("line", ["", "half a line"])
def test_without_a_whole_line_there_is_no_run(tmp_path: Path, start: Start, line: str) -> None:
    waiting = start()
    send(waiting, line)
    assert waiting.stdin is not None
    waiting.stdin.close()
    assert waiting.wait(120) == Exit.OK
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_sigterm_ends_the_waiting(start: Start) -> None:
    waiting = start()
    wait_for_ready(waiting)
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(30) == Exit.INTERRUPTED


def test_the_warm_up_draws_nothing_and_sets_nothing() -> None:
    def state() -> list[object]:
        return [
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state(legacy=True)[1].tolist(),  # type: ignore[index]
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
        ]

    before = state()
    train_once()
    assert state() == before

"""Several processes train one run like one process with the same global batch, for every method;
an error in one of them ends all."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from kdcore.__main__ import main
from kdcore.runs.prepare import prepare
from kdcore.runtime.device import Device
from kdcore.runtime.distributed import ALONE, World, join
from kdcore.runtime.errors import RunError
from kdcore.runtime.signals import StopFlag
from kdcore.spec.codes import Exit, RunCode
from tests.kdcore.tiny import (
    FITNET,
    HARD,
    KD,
    events_of,
    make_folder,
    parse,
    result_of,
    stage,
)
from tests.kdcore.together import TRAININGS, train

PROCESSES = 2
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
TORCHRUN += [f"--nproc-per-node={PROCESSES}", "-m"]
LIMIT_S = 240
EXACT = {"precision": "fp32", "baseline": False}


def _start(*arguments: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen([*TORCHRUN, *arguments], stdout=file, stderr=file)


def _run(*arguments: str, log: Path) -> int:
    return _start(*arguments, log=log).wait(LIMIT_S)


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers belong to the process; keep pytest's."""
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes ended with, in a folder each."""
    folder = tmp_path_factory.mktemp("together")
    log = folder / "log"
    assert _run("tests.kdcore.together", str(folder), log=log) == 0, log.read_text()
    return folder


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_end_as_one_with_the_same_global_batch(
    together: Path, tmp_path: Path, name: str
) -> None:
    shared = load_file(together / "0" / f"{name}.safetensors")
    alone = train(tmp_path / "alone", TRAININGS[name], ALONE)
    assert set(shared) == set(alone)
    for key, value in alone.items():
        difference = (shared[key] - value).abs().max().item()
        assert difference < 1e-4 * value.abs().max().item() + 2e-6, key


@pytest.mark.parametrize("name", [*TRAININGS, "interrupted"])
def test_both_processes_have_the_same_bits(together: Path, name: str) -> None:
    first, second = (load_file(together / str(rank) / f"{name}.safetensors") for rank in (0, 1))
    assert all(torch.equal(v, second[k]) for k, v in first.items())


def test_a_stop_of_one_process_stops_both_and_they_resume_with_the_same_bits(
    together: Path,
) -> None:
    """Only the last process was asked, after eight steps; only the first has checkpoints."""
    whole, again = (
        load_file(together / "0" / f"{name}.safetensors")
        for name in ("fitnet first", "interrupted")
    )
    assert all(torch.equal(v, again[k]) for k, v in whole.items() if k != "losses")
    assert (together / "0" / "interrupted" / "checkpoints").is_dir()
    assert not (together / "1" / "interrupted" / "checkpoints").exists()


def test_one_command_runs_a_spec_on_two_processes(tmp_path: Path) -> None:
    """Names, files and results are those of one process, and only one process writes; a finished
    run resumes from its checkpoint."""
    stages = [stage(FITNET), stage(HARD, KD, epochs=2, ema={})]
    data = {"batch_size": 6, "accumulate": 2, "validation": 0.25, "augment": ["crop"]}
    folders = [tmp_path / "alone", tmp_path / "together"]
    for folder in folders:
        make_folder(folder, stages=stages, data=data, **EXACT)
    log = tmp_path / "log"
    assert main(["run", str(folders[0])]) == Exit.OK
    assert _run("kdcore", "run", str(folders[1]), log=log) == 0, log.read_text()
    alone, together = (load_file(f / "out" / "student.safetensors") for f in folders)
    assert set(alone) == set(together)
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-3, atol=1e-4)
    assert [result_of(f)["machine"]["processes"] for f in folders] == [1, PROCESSES]
    events = events_of(folders[1])
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["exit"] == "OK"
    found, expected = (
        [e["kind"] for e in events_of(f) if e["kind"] not in ("progress", "log")] for f in folders
    )
    assert found == expected
    assert "2 processes share" in next(e["message"] for e in events if e["kind"] == "log")
    assert _run("kdcore", "run", str(folders[1]), log=log) == 0, log.read_text()
    again = load_file(folders[1] / "out" / "student.safetensors")
    assert result_of(folders[1])["resumes"] == 1 and result_of(folders[1])["bit_exact"]
    assert all(torch.equal(v, together[k]) for k, v in again.items())


def test_sigterm_leaves_one_checkpoint_to_resume_from(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", stages=[stage(HARD, epochs=100_000)], **EXACT)
    log = tmp_path / "log"
    running = _start("kdcore", "run", str(folder), log=log)
    try:
        deadline_s = time.monotonic() + LIMIT_S
        while not (folder / "events.jsonl").exists() or not events_of(folder, "progress"):
            assert running.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        running.wait(LIMIT_S)
    finally:
        running.kill()
    end = events_of(folder)[-1]
    assert (end["code"], end["exit"]) == ("interrupted", "INTERRUPTED"), log.read_text()
    (checkpoint,) = events_of(folder, "checkpoint")
    assert checkpoint["step"] > 0 and (folder / checkpoint["path"]).is_dir()


@pytest.mark.parametrize(
    "where", ["kdcore.training.stage.StageRun.step", "kdcore.runs.distill.prepare"]
)
def test_an_error_of_one_process_ends_all_with_its_name(tmp_path: Path, where: str) -> None:
    folder = make_folder(tmp_path / "run", stages=[stage(HARD, epochs=100_000)], **EXACT)
    log = tmp_path / "log"
    assert _run("tests.kdcore.together", "fail", where, str(folder), log=log) != 0
    end = events_of(folder)[-1]
    assert (end["kind"], end["code"], end["exit"]) == ("end", "no_space", "NO_SPACE"), (
        log.read_text()
    )
    assert end["message"].startswith("process 1: ")


def test_batches_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    spec = parse(json.loads((folder / "spec.json").read_text()))
    with pytest.raises(RunError, match=r"3 processes.* of 8 .*; a batch_size of 6 would do") as got:
        prepare(spec, folder, world=World(0, 3))
    assert (got.value.code, got.value.pointer) == ("batch_not_divisible", "/data/batch_size")
    assert prepare(spec, folder, world=World(0, 4)).setup.shared.world.size == 4


def test_alone_there_is_no_other_process() -> None:
    assert join() is ALONE and ALONE.primary
    assert ALONE.any(True) and not ALONE.any(False)
    error = RunError(RunCode.DIVERGED, "the loss is not finite")
    assert ALONE.first_error(error) is error
    ALONE.leave()


def test_of_several_processes_none_stops_by_itself_while_training() -> None:
    stop = StopFlag()
    stop.single_process = False
    with stop.deferred(), stop.immediate():
        stop.request()
    assert stop.requested


def test_a_resume_with_another_number_of_processes_is_another_machine() -> None:
    cpu = torch.device("cpu")
    assert Device(cpu, "fp32").profile() != Device(cpu, "fp32", 2).profile()

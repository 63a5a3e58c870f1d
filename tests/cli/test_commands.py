"""`kd` commands against the real API: what they print for people and in JSON, and exit codes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from distillery.cli.main import main
from distillery.sdk.errors import ExitCode
from distillery.store import jobs
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database
from distillery.store.db.tables import ApiKey
from distillery.wire.job_codes import JobCode
from kdcore.spec.codes import RunCode
from tests.store.makers import claimed

LONG_AGO_MS = 1_000_000_000_000
Kd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kd(api_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kd:
    """Runs a command line; returns exit code, stdout, stderr."""
    monkeypatch.setenv("KD_URL", api_url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(args)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return int(ended.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, x_train=np.zeros((4, 8, 8), np.uint8), y_train=np.arange(4))
    return str(path)


def test_lists_say_what_to_do_when_they_are_empty(kd: Kd) -> None:
    for noun, words in (("models", "kd models push"), ("jobs", "kd jobs submit")):
        assert words in kd(noun, "list")[1]
        assert json.loads(kd(noun, "list", "--json")[1]) == []


def test_a_dataset_from_push_to_rm(kd: Kd, npz: str) -> None:
    code, out, _ = kd("datasets", "push", npz, "--name", "mine", "--no-wait", "--json")
    assert code == 0
    dataset = json.loads(out)
    assert dataset["name"] == "mine" and dataset["state"] == "inspecting"
    assert "mine" in kd("datasets", "list")[1]
    assert dataset["id"] in kd("datasets", "show", "mine")[1]
    assert (
        "waiting (no_worker): no worker is running" in kd("jobs", "show", dataset["inspect_job"])[1]
    )
    code, _, err = kd("datasets", "rm", "theirs")
    assert code == ExitCode.USAGE and "kd datasets list" in err
    code, _, err = kd("datasets", "rm", "mine")
    assert code == ExitCode.FAILED and err  # its inspection has not ended


def test_status_says_what_is_broken_and_what_waits(kd: Kd, npz: str) -> None:
    kd("datasets", "push", npz, "--name", "waiting", "--no-wait")
    code, out, _ = kd("status")
    assert code == 0
    assert "is degraded" in out and "no worker has sent a heartbeat" in out
    assert "Slots: 0 of 0 in use" in out and " queued, 0 running, 0 paused" in out
    assert "waiting (no_worker)" in out
    status = json.loads(kd("status", "--json")[1])
    assert (status["health"]["status"], status["jobs"]["running"]) == ("degraded", 0)


def test_a_folder_is_pushed_as_a_zip(kd: Kd, tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/2.png"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    code, out, _ = kd("datasets", "push", str(tmp_path / "pets"), "--no-wait", "--json")
    assert code == 0
    assert (json.loads(out)["name"], json.loads(out)["format"]) == ("pets", "folder")


def test_a_model_needs_to_be_described(kd: Kd, tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    file.write_bytes(b"PK\x03\x04 not really")
    code, _, err = kd("models", "push", str(file))
    assert code == ExitCode.USAGE and "--architecture" in err
    config = tmp_path / "config.json"
    config.write_text('{"architecture": "resnet8", "num_classes": 1}')
    code, _, err = kd("models", "push", str(file), "--config", str(config))
    assert code == ExitCode.USAGE and "num_classes" in err
    described = ["--architecture", "resnet8", "--num-classes", "4", "--channels", "1"]
    code, out, _ = kd(
        "models", "push", str(file), *described, "--size", "28x20", "--no-wait", "--json"
    )
    assert code == 0
    network = json.loads(out)["network"]
    assert (network["input"]["height"], network["input"]["width"]) == (28, 20)


def test_submit_names_every_mistake(kd: Kd, npz: str) -> None:
    kd("datasets", "push", npz, "--name", "pictures", "--no-wait")
    described = ["--student", "resnet8", "--dataset", "pictures"]
    code, _, err = kd("jobs", "submit", *described, "--method", "magic")
    assert code == ExitCode.FAILED and "/stages/0/objectives/0" in err
    code, _, err = kd("jobs", "submit", *described, "--dry-run", "--json")
    assert code == ExitCode.FAILED
    assert json.loads(err)["error"]["problem"]["code"] == "not_ready"
    code, _, err = kd("jobs", "show", "last")
    assert code == ExitCode.USAGE and "no jobs" in err


def test_keys_are_shown_once(kd: Kd) -> None:
    code, out, _ = kd("keys", "create", "--name", "ci", "--scopes", "read", "--json")
    assert code == 0
    key = json.loads(out)
    listed = kd("keys", "list")[1]
    assert key["id"] in listed and key["key"] not in listed
    assert kd("jobs", "list", "--key", key["key"])[0] == ExitCode.OK
    assert kd("jobs", "list", "--order", "gain", "--key", key["key"])[0] == ExitCode.OK
    code, _, err = kd("jobs", "list", "--order", "beauty", "--key", key["key"])
    assert code != ExitCode.OK and "order" in err
    assert kd("keys", "list", "--key", key["key"])[0] == ExitCode.DENIED
    assert kd("keys", "revoke", key["id"])[0] == ExitCode.OK
    code, _, err = kd("jobs", "list", "--key", key["key"])
    assert code == ExitCode.DENIED and "KD_KEY" in err


def test_a_key_that_has_expired_is_not_called_valid(kd: Kd, home: Path) -> None:
    kd("keys", "create", "--name", "brief", "--days", "1")
    database = Database(StoreSettings(home=home).database)
    with database.write() as s:
        s.execute(update(ApiKey).where(ApiKey.name == "brief").values(expires_at=LONG_AGO_MS))
    database.dispose()
    (line,) = (line for line in kd("keys", "list")[1].splitlines() if " brief " in line)
    assert line.endswith("2001-09-09  expired")


def test_methods_show_their_knobs(kd: Kd) -> None:
    out = kd("methods")[1]
    assert "temperature" in out and "Softmax temperature" in out


def test_gc_counts_then_deletes(kd: Kd, home: Path) -> None:
    stray = home / "runs" / "job_gone" / "1"
    stray.mkdir(parents=True)
    (stray / "run.log").write_bytes(b"x" * 2048)
    os.utime(stray.parent, (1, 1))
    out = kd("gc", "--dry-run")[1]
    assert "run directories" in out and "2.0 KB" in out and "Nothing was deleted" in out
    assert stray.exists()
    kinds = json.loads(kd("gc", "--json")[1])["kinds"]
    assert {"kind": "run_directories", "count": 1, "size_bytes": 2048} in kinds
    assert not stray.exists()
    assert "Nothing to delete" in kd("gc")[1]


def test_a_failed_job_is_shown_with_the_end_of_its_log_as_it_is(kd: Kd, home: Path) -> None:
    database = Database(StoreSettings(home=home).database)
    claim = claimed(database)
    with database.write() as s:
        jobs.fail(s, claim, RunCode.BUG, "it died\n[/red] list[int] [bold]loud")
    out = kd("jobs", "show", claim.job_id)[1]
    assert "bug: it died\n[/red] list[int] [bold]loud" in out
    waiting = claimed(database)
    with database.write() as s:
        jobs.fail(s, waiting, JobCode.KILLED, "x", retry=True)
    assert "waiting (backoff): attempt 1 died" in kd("jobs", "show", waiting.job_id)[1]
    database.dispose()

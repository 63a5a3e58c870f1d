"""The command line: help, validation without training, and exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdcore.__main__ import main
from kdcore.spec.codes import Exit
from tests.kdcore.tiny import FITNET, make_folder, stage


def test_help_names_commands_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert all(word in text for word in ("run", "validate", "12 DIVERGED", "14 INTERRUPTED"))


def test_validate_checks_everything_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", str(make_folder(tmp_path))]) == Exit.OK
    assert capsys.readouterr().out == "ok\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "data.npz", "packs", "spec.json", "teacher.safetensors"
    ]  # fmt: skip
    make_folder(tmp_path, stages=[stage({**FITNET, "guided": {"module": "nowhere"}})])
    assert main(["validate", str(tmp_path)]) == Exit.BAD_SPEC
    assert "tap_not_found at /stages/0/objectives/0/guided" in capsys.readouterr().err
    assert main(["validate", str(tmp_path / "missing")]) == Exit.BAD_SPEC


def test_a_missing_directory_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "no/such/place"])
    assert "is not a directory" in capsys.readouterr().err


def test_the_first_event_does_not_wait_for_torch() -> None:
    code = "import sys, kdcore.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

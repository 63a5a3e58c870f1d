"""`kd` on its own: options anywhere, exit codes, words instead of tracebacks."""

import json
import socket

import pytest

from distillery.cli.main import hoist, main
from distillery.sdk.errors import ExitCode


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(args)
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def unused_url() -> str:
    """A URL on an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_global_options_may_stand_anywhere() -> None:
    args = ["jobs", "list", "--json", "--url", "http://x", "--key=k", "--state", "failed"]
    assert hoist(args) == [
        *["--json", "--url", "http://x", "--key=k"],
        *["jobs", "list", "--state", "failed"],
    ]
    assert hoist(["run", "--", "--json"]) == ["run", "--", "--json"]


def test_no_service_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], unused_url: str
) -> None:
    code, out, err = _run(capsys, "jobs", "list", "--url", unused_url)
    assert (code, out) == (ExitCode.UNREACHABLE, "")
    assert f"Cannot reach a service at {unused_url}" in err
    assert "kd up" in err and "Traceback" not in err


def test_errors_are_json_too(capsys: pytest.CaptureFixture[str], unused_url: str) -> None:
    code, _, err = _run(capsys, "jobs", "list", "--url", unused_url, "--json")
    assert code == ExitCode.UNREACHABLE
    assert "Cannot reach" in json.loads(err)["error"]["message"]


@pytest.mark.parametrize(
    "args",
    [
        ["jobs", "submit"],
        ["jobs", "fly"],
        ["models", "push", "no-such-file"],
        ["datasets", "push", "/dev/null"],
        ["run", __file__, "--out", "/nonexistent/x"],
        ["demo", "--seeds", "a,b"],
        ["keys", "create", "--name", "x", "--scopes", "all"],
    ],
)
def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    code, _, err = _run(capsys, *args)
    assert code == ExitCode.USAGE
    assert err and "Traceback" not in err


def test_nothing_to_submit_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = _run(capsys, "jobs", "submit")
    assert "Nothing to submit." in err and "--student and --dataset" in err


@pytest.mark.parametrize(
    "command", [["jobs", "submit"], ["models", "push"], ["datasets", "push"], ["keys", "create"]]
)
def test_the_main_commands_show_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = _run(capsys, *command, "--help")
    assert code == 0 and f"  kd {' '.join(command)} " in out.partition("Example")[2]


def test_version_and_exit_codes_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "--version")[1].startswith("kd ")
    code, out, _ = _run(capsys, "--help")
    assert code == 0
    assert "3 the service cannot be reached" in " ".join(out.split())

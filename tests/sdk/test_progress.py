"""Progress is one line that is rewritten and then erased, and nothing at all in a script."""

import io
import sys

import pytest

from distillery.sdk.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillery.sdk.progress.REFRESH_S", 0.0)


def _shown(enabled: bool | None = None) -> None:
    with Progress(enabled).transfer("Uploading x") as report:
        report(500, 2000)
        report(2000, 2000)


def test_on_a_terminal_the_line_is_rewritten_then_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    out = _Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    _shown()
    first, second, erased, end = out.getvalue().split("\r")[1:]
    assert first == "Uploading x  25.0% of 2.0 KB"
    assert second == "Uploading x  100.0% of 2.0 KB"
    assert erased == " " * len(second) and end == ""


def test_a_long_line_is_cut_to_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = _Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("COLUMNS", "20")
    with Progress().line() as show:
        show("x" * 100)
    assert out.getvalue().startswith("\r" + "x" * 19 + "\r")


def test_a_notebook_gets_it_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    _shown()
    assert "100.0%" in capsys.readouterr().out


def test_a_script_gets_it_only_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    _shown()
    _shown(enabled=False)
    assert capsys.readouterr() == ("", "")
    _shown(enabled=True)
    assert "100.0%" in capsys.readouterr().err

"""Versions and missing extras come from the installed metadata, nested extras included."""

from importlib import metadata

import pytest

from kdcore.spec import distribution

REQUIRES = [
    "rich>=14",
    'torch>=2.11; extra == "train"',
    "celery[redis]>=5.7; python_version >= '3' and extra == 'server'",
    'distillery-kd[server,train]; extra == "all"',
    'mlxtend>=0.24; extra == "all"',
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The packages that count as installed: none, until a test adds some."""
    names: set[str] = set()

    def find(name: str) -> None:
        if name not in names:
            raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(metadata, "distribution", find)
    return names


def test_an_extra_lacks_what_it_requires_itself_or_through_others(installed: set[str]) -> None:
    assert distribution.missing("train") == ["torch"]
    assert distribution.missing("server") == ["celery"]
    assert distribution.missing("all") == ["celery", "mlxtend", "torch"]
    installed |= {"celery", "torch"}
    assert distribution.missing("all") == ["mlxtend"]
    assert distribution.missing("server") == []


def test_the_command_brings_all_that_is_missing_and_no_more(installed: set[str]) -> None:
    complaint = distribution.complaint("kd up", "server", "train")
    assert complaint == (
        "kd up needs packages that are not installed: celery, torch.",
        "Install them: pip install 'distillery-kd[all]'",
    )
    installed.add("celery")
    complaint = distribution.complaint("kd up", "server", "train")
    assert complaint is not None and complaint[1].endswith("'distillery-kd[train]'")
    installed.add("torch")
    assert distribution.complaint("kd up", "server", "train") is None


def test_a_program_ends_with_2_and_the_command(
    installed: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        distribution.require("python -m kdcore", "train")
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "python -m kdcore needs packages that are not installed: torch.",
        "Install them: pip install 'distillery-kd[train]'",
    ]


def test_a_checkout_that_is_not_installed_lacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distribution, "NAME", "distillery-kd-of-nobody")
    assert distribution.version() == "0+unknown"
    assert distribution.missing("train") == []


def test_this_installation_is_complete() -> None:
    assert distribution.version() == metadata.version("distillery-kd")
    assert distribution.complaint("the suite", "all") is None

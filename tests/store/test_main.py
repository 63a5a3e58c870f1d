"""`python -m distillery.store`: migrates, creates keys, and explains what to do on errors."""

from pathlib import Path

import pytest

from distillery.store import keys
from distillery.store.__main__ import main
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("KD_DATABASE_URL", "KD_BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_migrate_then_a_key_that_opens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "schema 0001\n"
    assert main(["keys", "create", "--name", "ci", "--scopes", "read,admin"]) == 0
    token = capsys.readouterr().out.strip()
    with Database(StoreSettings().database).read() as s:
        holder = keys.verify(s, token)
    assert holder is not None and holder.tenant == "default"
    assert holder.scopes == {"read", "admin"}


def test_without_a_schema_it_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--name", "ci"]) == 1
    assert "python -m distillery.store migrate" in capsys.readouterr().err


def test_an_unknown_revision_is_refused_and_the_known_ones_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["migrate", "--to", "0009"]) == 1
    assert "there is no revision '0009': use 0001, head or base" in capsys.readouterr().err


def test_an_unknown_scope_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "create", "--name", "ci", "--scopes", "read,root"])
    assert "root" in capsys.readouterr().err


def test_everything_defaults_to_a_place_under_home(home: Path) -> None:
    settings = StoreSettings()
    assert settings.database == f"sqlite:///{home}/distillery.sqlite"
    assert settings.blobs == f"file://{home}/blobs"
    assert settings.uploads == home / "uploads"

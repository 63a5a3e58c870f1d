"""A download resumes where it broke off, and is kept only if its sha256 is right."""

import hashlib
from pathlib import Path

import pytest

from distillery.sdk.downloads import download
from distillery.sdk.errors import Corrupt
from distillery.sdk.progress import OnProgress
from distillery.sdk.transport import Transport
from tests.sdk.scripted import Scripted, answer, cut, serve

DATA = bytes(range(256)) * 2000
HALF = 200_000
SHA256 = hashlib.sha256(DATA).hexdigest()


def _download(url: str, target: Path, on_progress: OnProgress | None = None) -> Path:
    return download(
        Transport(url), "/a", target, sha256=SHA256, size=len(DATA), on_progress=on_progress
    )


def test_a_broken_download_goes_on_by_range(tmp_path: Path) -> None:
    script = Scripted(cut(200, DATA[:HALF], len(DATA)), answer(206, DATA[HALF:]))
    seen: list[tuple[int, int]] = []
    with serve(script) as url:
        _download(url, tmp_path / "d/x", lambda done, size: seen.append((done, size)))
    assert (tmp_path / "d/x").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["x"]
    assert script.requests[1][2]["range"] == f"bytes={HALF}-"
    assert seen[-1] == (len(DATA), len(DATA))


def test_an_earlier_try_is_resumed(tmp_path: Path) -> None:
    (tmp_path / f"x.{SHA256[:12]}.part").write_bytes(DATA[:HALF])
    script = Scripted(answer(206, DATA[HALF:]))
    with serve(script) as url:
        _download(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_a_bad_earlier_try_costs_one_more_round(tmp_path: Path) -> None:
    (tmp_path / f"x.{SHA256[:12]}.part").write_bytes(b"?" * HALF)
    script = Scripted(answer(206, DATA[HALF:]), answer(200, DATA))
    with serve(script) as url:
        _download(url, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_wrong_bytes_are_not_kept(tmp_path: Path) -> None:
    with serve(Scripted(answer(200, b"wrong"))) as url, pytest.raises(Corrupt):
        _download(url, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    script = Scripted(answer(500, ""))
    with serve(script) as url:
        _download(url, tmp_path / "x")
    assert script.requests == []

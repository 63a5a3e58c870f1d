"""Uploads against the real API: parts, progress, resume, and content that is already there."""

import hashlib
import os
from pathlib import Path

import httpx
import pytest

from distillery.sdk.client import Client
from distillery.sdk.errors import UsageMistake

PART = 8 * 2**20


def _file(folder: Path, size: int) -> tuple[Path, str]:
    path = folder / "big.bin"
    path.write_bytes(os.urandom(size))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_arrives_in_parts_and_progress_rises_to_its_size(
    client: Client, tmp_path: Path
) -> None:
    path, sha256 = _file(tmp_path, 2 * PART + 5)
    seen: list[tuple[int, int]] = []
    upload = client.uploads.send(path, lambda done, total: seen.append((done, total)))
    assert (upload.state, upload.sha256, upload.size) == ("complete", sha256, 2 * PART + 5)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[0][0] == 0 and seen[-1] == (upload.size, upload.size)


def test_known_content_needs_no_bytes(client: Client, tmp_path: Path) -> None:
    path, _ = _file(tmp_path, 1000)
    first = client.uploads.send(path)
    renamed = path.rename(tmp_path / "other.bin")
    seen: list[int] = []
    second = client.uploads.send(renamed, lambda done, _: seen.append(done))
    assert second.id != first.id and second.sha256 == first.sha256
    assert seen == [1000]


def test_a_second_try_sends_only_what_is_missing(
    client: Client, api_url: str, tmp_path: Path
) -> None:
    path, _ = _file(tmp_path, 2 * PART)
    broken = _Breaks(api_url, after_parts=1)
    with pytest.raises(ConnectionAbortedError):
        broken.uploads.send(path)
    arrived = len(client.uploads.get(broken.upload_id).parts)
    assert arrived in (1, 2)
    seen: list[int] = []
    upload = client.uploads.send(path, lambda done, _: seen.append(done))
    assert upload.id == broken.upload_id and upload.state == "complete"
    assert seen[0] == arrived * PART


def test_an_aborted_upload_is_begun_anew(client: Client, api_url: str, tmp_path: Path) -> None:
    path, _ = _file(tmp_path, 1000)
    broken = _Breaks(api_url, after_parts=0)
    with pytest.raises(ConnectionAbortedError):
        broken.uploads.send(path)
    httpx.delete(f"{api_url}/v1/uploads/{broken.upload_id}").raise_for_status()
    upload = client.uploads.send(path)
    assert upload.id != broken.upload_id and upload.state == "complete"


def test_an_empty_file_is_a_mistake(client: Client, tmp_path: Path) -> None:
    path, _ = _file(tmp_path, 0)
    with pytest.raises(UsageMistake, match="empty"):
        client.uploads.send(path)


class _Breaks(Client):
    """A client whose process is lost after some parts, as far as the service can tell."""

    def __init__(self, url: str, after_parts: int):
        super().__init__(url)
        self.upload_id = ""
        left = [after_parts]
        send = self._transport.request

        def request(method: str, path: str, **more: object) -> httpx.Response:
            if "/parts/" in path:
                self.upload_id = path.split("/")[2]
                if left[0] == 0:
                    raise ConnectionAbortedError
                left[0] -= 1
            return send(method, path, **more)  # type: ignore[arg-type]

        self._transport.request = request  # type: ignore[method-assign]

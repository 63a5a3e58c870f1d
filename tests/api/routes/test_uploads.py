"""Uploads: parts in any order, resumed, repeated; wrong sizes and hashes leave nothing behind."""

import random
from typing import NamedTuple

import pytest

from distillery.store.catalog import uploads
from tests.api.makers import ApiHarness, JsonObject, ok, refused, sha256

MIB = 1 << 20


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one MiB: the same code with less to copy."""
    monkeypatch.setattr(uploads, "PART_BYTES", MIB)


def announce(harness: ApiHarness, content: bytes, **more: str) -> JsonObject:
    """A new upload."""
    return ok(harness.http.post("/v1/uploads", json={"size": len(content)} | more))


def put(harness: ApiHarness, upload: JsonObject, number: int, content: bytes) -> JsonObject:
    """Send one part of `content`."""
    size = upload["part_size"]
    part = content[(number - 1) * size : number * size]
    return ok(harness.http.put(f"/v1/uploads/{upload['id']}/parts/{number}", content=part))


def test_parts_in_any_order_and_twice_become_the_file(either: ApiHarness) -> None:
    content = random.Random(0).randbytes(2 * MIB + 17)
    upload = announce(either, content, sha256=sha256(content), filename="a.npz")
    for number in (3, 1, 1):
        part = put(either, upload, number, content)
    assert part == {"number": 1, "size": MIB, "sha256": sha256(content[:MIB])}
    shown = ok(either.http.get(f"/v1/uploads/{upload['id']}"))
    assert [part["number"] for part in shown["parts"]] == [1, 3]
    path = f"/v1/uploads/{upload['id']}/complete"
    refused(either.http.post(path), 409, "parts_missing")
    put(either, upload, 2, content)
    done = ok(either.http.post(path, json={"sha256": sha256(content)}))
    assert (done["state"], done["sha256"]) == ("complete", sha256(content))
    assert ok(either.http.post(path)) == done  # again changes nothing
    assert list((either.home / "uploads").iterdir()) == []


def test_known_content_needs_no_bytes(either: ApiHarness) -> None:
    either.upload(b"known")
    again = {"size": 5, "sha256": sha256(b"known")}
    assert ok(either.http.post("/v1/uploads", json=again))["state"] == "complete"
    stranger = either.key("read", "write", tenant="other")
    other = ok(either.http.post("/v1/uploads", json=again, headers=stranger))
    assert other["state"] == "open"  # knowing a hash is not having the file


def test_a_wrong_hash_is_reported_and_can_be_repaired(harness: ApiHarness) -> None:
    upload = announce(harness, b"right", sha256=sha256(b"right"))
    put(harness, upload, 1, b"wrong")
    path = f"/v1/uploads/{upload['id']}/complete"
    problem = refused(harness.http.post(path), 422, "hash_mismatch")
    assert sha256(b"wrong") in problem["detail"]
    put(harness, upload, 1, b"right")
    assert ok(harness.http.post(path))["state"] == "complete"


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [4, 6, 3 * MIB])
def test_a_part_of_another_size_is_refused(harness: ApiHarness, chunked: bool, size: int) -> None:
    upload = announce(harness, b"12345")
    content = iter([bytes(size)]) if chunked else bytes(size)
    answer = harness.http.put(f"/v1/uploads/{upload['id']}/parts/1", content=content)
    refused(answer, 422, "part_size")
    assert list((harness.home / "uploads" / upload["id"]).glob("*")) == []


def test_parts_that_cannot_be(harness: ApiHarness) -> None:
    upload = announce(harness, b"12345")
    base = f"/v1/uploads/{upload['id']}/parts"
    refused(harness.http.put(f"{base}/2", content=b"1"), 422, "part_number")
    refused(harness.http.put(f"{base}/0", content=b"1"), 422, "bad_parameter")
    refused(harness.http.put("/v1/uploads/upl_none/parts/1", content=b"1"), 404, "not_found")
    assert harness.http.delete(f"/v1/uploads/{upload['id']}").status_code == 204
    refused(harness.http.put(f"{base}/1", content=b"12345"), 409, "upload_closed")
    assert ok(harness.http.get(f"/v1/uploads/{upload['id']}"))["state"] == "aborted"


def test_a_part_cut_short_leaves_nothing(harness: ApiHarness) -> None:
    upload = announce(harness, b"12345")
    path = f"/v1/uploads/{upload['id']}/parts/1"
    answer = harness.http.put(path, content=b"123", headers={"content-length": "5"})
    refused(answer, 422, "part_size")
    assert list((harness.home / "uploads" / upload["id"]).glob("*")) == []


def test_a_disk_that_is_nearly_full_is_507(
    either: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ok(either.http.post("/v1/uploads", json={"size": 1}))["id"]
    monkeypatch.setattr("distillery.store.blobs.disk.shutil.disk_usage", lambda _: _Usage(free=0))
    for answer in (
        either.http.post("/v1/uploads", json={"size": 1}),
        either.http.put(f"/v1/uploads/{upload}/parts/1", content=b"x"),
    ):
        refused(answer, 507, "no_space")
        assert "retry-after" not in answer.headers
        assert "free" in answer.json()["detail"]


class _Usage(NamedTuple):
    free: int

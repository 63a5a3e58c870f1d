"""Downloads: whole, by range, resumed, checked; names cannot break out of their header."""

import pytest

from distillery.api.downloads import byte_range, disposition
from distillery.api.problems import Refusal
from tests.api.makers import DISTILLED, ApiHarness, ok, refused, sha256

CONTENT = bytes(range(256)) * 20


@pytest.fixture(scope="module")
def url(shared: ApiHarness) -> str:
    """Where a job's weights are."""
    job = shared.submit()["id"]
    shared.finish(job, DISTILLED, {"weights": CONTENT})
    (artifact,) = ok(shared.http.get(f"/v1/jobs/{job}/artifacts"))["data"]
    assert ok(shared.http.get(f"/v1/artifacts/{artifact['id']}")) == artifact
    return str(artifact["href"])


def test_the_whole_file(shared: ApiHarness, url: str) -> None:
    answer = shared.http.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == f'"{sha256(CONTENT)}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    head = shared.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=5000-", 5000, 5120),
        ("bytes=-20", 5100, 5120),
        ("bytes=5000-999999", 5000, 5120),
        ("bytes=-999999", 0, 5120),
    ],
)
def test_one_range(shared: ApiHarness, url: str, header: str, start: int, end: int) -> None:
    answer = shared.http.get(url, headers={"range": header})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/5120"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("header", ["bytes=5120-", "bytes=-0", "bytes=99999-100000"])
def test_a_range_outside(shared: ApiHarness, url: str, header: str) -> None:
    answer = shared.http.get(url, headers={"range": header})
    refused(answer, 416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */5120"


@pytest.mark.parametrize("header", ["bytes=9-1", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "bytes"])
def test_what_we_do_not_serve_by_range_is_served_whole(header: str) -> None:
    assert byte_range(header, 10) is None


def test_a_resumed_download_is_of_the_same_file(shared: ApiHarness, url: str) -> None:
    same = shared.http.get(url, headers={"range": "bytes=9-", "if-range": f'"{sha256(CONTENT)}"'})
    assert same.status_code == 206
    other = shared.http.get(url, headers={"range": "bytes=9-", "if-range": '"other"'})
    assert (other.status_code, other.content) == (200, CONTENT)
    known = shared.http.get(url, headers={"if-none-match": f'W/"{sha256(CONTENT)}"'})
    assert (known.status_code, known.content) == (304, b"")


def test_names_stay_in_their_header() -> None:
    assert disposition("a b\r\nX: y.bin") == (
        "attachment; filename=\"a_b__X__y.bin\"; filename*=UTF-8''a%20b%0D%0AX%3A%20y.bin"
    )
    assert disposition('../"ü".onnx').startswith('attachment; filename="___.onnx"')
    assert disposition("/").startswith('attachment; filename="file"')


def test_a_range_of_an_empty_file() -> None:
    with pytest.raises(Refusal):
        byte_range("bytes=0-", 0)
